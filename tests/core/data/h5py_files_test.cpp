// Files made by hand with h5py and only the contract's arrays, in the ways that people write them.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <string>

#include "core/base/error.h"
#include "core/data/dataset.h"
#include "core/data/loading/training_loader.h"
#include "tests/core/data/hdf5_writer.h"
#include "tests/support/paths.h"

namespace thaw {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class H5pyFiles : public testing::Test {
 protected:
  void SetUp() override {
    python_ = test_python();
    if (std::system(("'" + python_ + "' -c 'import h5py' 2>/dev/null").c_str()) != 0) {
      GTEST_SKIP() << python_ << " has no h5py (THAW_TEST_PYTHON names a Python that has)";
    }
  }
  /// Runs `lines` with a file `f` open for writing.
  void write(const std::string& lines, const std::string& open = "h5py.File(path, 'w')") {
    std::ofstream(folder_ / "write.py") << R"(
import h5py, numpy as np
path = ')" << path_ << R"('
def pixels(n, c, h, w):
    i = np.indices((n, c, h, w))
    return (i[0] * 101 + i[1] * 53 + i[2] * 17 + i[3] * 3 + 1).astype('uint8')
def labels(n): return np.arange(n, dtype='int64') % 3
def texts(n):
    all = [[s * 10 + k for k in range(1 + s * 7 % 5)] for s in range(n)]
    offsets = np.cumsum([0] + [len(t) for t in all]).astype('int64')
    return np.array(sum(all, []), dtype='int32'), offsets
with )" << open << R"( as f:
)" << lines;
    const std::string command = "'" + python_ + "' '" + folder_ / "write.py" + "'";
    ASSERT_EQ(std::system(command.c_str()), 0);
  }
  void expect_images(const std::string& mode, std::int64_t samples) {
    Dataset dataset({path_});
    Split& split = dataset.split("train");
    split.prepare({.mode = mode});
    ASSERT_EQ(split.size(), samples);
    std::vector<std::uint8_t> image(3 * 32 * 32);
    for (std::int64_t i = 0; i < samples; i += 7) {
      split.read(std::span(&i, 1), reinterpret_cast<std::byte*>(image.data()));
      for (std::int64_t c = 0; c < 3; ++c)
        for (std::int64_t y = 0; y < 32; ++y)
          for (std::int64_t x = 0; x < 32; ++x)
            ASSERT_EQ(image[(c * 32 + y) * 32 + x], test_pixel(i, c, y, x));
    }
  }

  std::string python_;
  TemporaryFolder folder_;
  std::string path_ = folder_ / "by_hand.h5";
};

TEST_F(H5pyFiles, PlainTexts) {
  write(R"(
    tokens, offsets = texts(50)
    f['train/tokens'] = tokens
    f['train/offsets'] = offsets
    f['train/labels'] = labels(50)
    f.attrs['classes'] = ['zero', 'one', 'zwei']
)");
  const Dataset dataset({path_});
  EXPECT_THAT(dataset.classes(), ElementsAre("zero", "one", "zwei"));
  EXPECT_TRUE(dataset.split("train").prepared());
  TrainingLoader loader(dataset, {.batch = 50});
  const Batch batch = loader.next().batch;
  const auto* tokens = batch.inputs.const_data_ptr<std::int64_t>();
  const auto* offsets = batch.offsets.const_data_ptr<std::int64_t>();
  for (std::int64_t i = 0; i < 50; ++i) {
    EXPECT_EQ(std::vector<std::int32_t>(tokens + offsets[i], tokens + offsets[i + 1]),
              test_tokens(batch.samples[i]));
  }
}

TEST_F(H5pyFiles, DefaultLayouts) {
  for (const char* options :
       {"", ", chunks=True", ", compression='gzip'", ", compression='gzip', shuffle=True",
        ", maxshape=(None, 3, 32, 32)", ", fletcher32=True", ", chunks=(1, 3, 32, 32)"}) {
    // Labels too, where the options are not about an image's shape.
    const std::string general = std::string(options).find('(') == std::string::npos ? options : "";
    write(std::string("    f.create_dataset('train/inputs', data=pixels(300, 3, 32, 32)") +
          options + ")\n    f.create_dataset('train/labels', data=labels(300)" + general + ")\n");
    for (const char* mode : {"memory", "off"}) expect_images(mode, 300);
    expect_images(folder_ / "cache", 300);
  }
}

TEST_F(H5pyFiles, NewestFileFormat) {
  write(R"(
    f['train/inputs'] = pixels(30, 3, 32, 32)
    f['train/labels'] = labels(30)
)",
        "h5py.File(path, 'w', libver=('v108', 'v110'))");
  expect_images("auto", 30);
}

TEST_F(H5pyFiles, VirtualDatasets) {
  write(R"(
    with h5py.File(path + '.part', 'w') as part: part['pixels'] = pixels(30, 3, 32, 32)
    layout = h5py.VirtualLayout((30, 3, 32, 32), 'uint8')
    layout[:] = h5py.VirtualSource(path + '.part', 'pixels', (30, 3, 32, 32))
    f.create_virtual_dataset('train/inputs', layout)
    f['train/labels'] = labels(30)
)");
  expect_images("memory", 30);
}

TEST_F(H5pyFiles, ValuesThatAreNotThere) {
  // HDF5 reads zeros in the place of each, without a word.
  const auto refusal = [&](const std::string& lines) {
    write(lines + "\n    f['train/labels'] = labels(30)\n");
    return message_of<InputError>([&] { Dataset({path_}); });
  };
  const std::string layout = "    layout = h5py.VirtualLayout((30, 3, 32, 32), 'uint8')\n";
  const std::string part =
      "    with h5py.File(path + '.part', 'w') as part: part['pixels'] = pixels(20, 3, 32, 32)\n";
  const std::string create = "    f.create_virtual_dataset('train/inputs', layout)\n";
  EXPECT_THAT(refusal(layout +
                      "    layout[:] = h5py.VirtualSource('none.h5', 'pixels', (30, 3, 32, "
                      "32))\n" +
                      create),
              HasSubstr("its source none.h5 is not there"));
  EXPECT_THAT(refusal(part + layout +
                      "    layout[:] = h5py.VirtualSource(path + '.part', 'pixels', "
                      "(30, 3, 32, 32))\n" +
                      create),
              HasSubstr("holds 61440 values, of which 92160 are taken"));
  EXPECT_THAT(refusal(part + layout +
                      "    layout[:20] = h5py.VirtualSource(path + '.part', "
                      "'pixels', (20, 3, 32, 32))\n" +
                      create),
              HasSubstr("30720 of its 92160 values have no source"));
  EXPECT_THAT(refusal(part + layout +
                      "    layout[:10] = h5py.VirtualSource(path + '.part', "
                      "'pixels', (40, 3, 32, 32))[20:30]\n    layout[10:] = "
                      "h5py.VirtualSource(path + '.part', 'pixels', (20, 3, 32, "
                      "32))\n" +
                      create),
              HasSubstr("holds 20 along dimension 0, of which 30 are taken"));
  EXPECT_THAT(refusal("    f.create_dataset('train/inputs', (30, 3, 32, 32), 'uint8', "
                      "external=[('none.raw', 0, 92160)])\n"),
              HasSubstr("none.raw, which is not there"));
  EXPECT_THAT(refusal("    open(path + '.raw', 'wb').write(bytes(100))\n"
                      "    f.create_dataset('train/inputs', (30, 3, 32, 32), 'uint8', "
                      "external=[(path + '.raw', 0, 92160)])\n"),
              HasSubstr("takes 92160 bytes at byte 0 of"));
  EXPECT_THAT(refusal("    f.create_dataset('train/inputs', (30, 3, 32, 32), 'uint8', "
                      "chunks=(10, 3, 32, 32))[:10] = pixels(10, 3, 32, 32)\n"),
              HasSubstr("2 of its 3 chunks were never written"));
  EXPECT_THAT(refusal("    f.create_dataset('train/inputs', (30, 1, 2, 2), 'uint8')\n"),
              HasSubstr("was never written"));
  EXPECT_THAT(refusal("    f['train/inputs'] = pixels(30, 3, 32, 32)\n"
                      "    f['validation'] = h5py.ExternalLink('none.h5', '/validation')\n"),
              HasSubstr("/validation is a link that leads nowhere"));
}

TEST_F(H5pyFiles, SeriesOfSources) {
  const auto write_without = [&](const std::string& missing) {
    write(R"(
    import os
    from h5py import h5s
    def series(name, inner, tail, dtype):
        ones = (1,) * len(tail)
        space = h5s.create_simple((10, *tail), (h5s.UNLIMITED, *tail))
        space.select_hyperslab((0, *(0 * n for n in tail)), (h5s.UNLIMITED, *ones),
                               stride=(10, *tail), block=(10, *tail))
        creation = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        creation.set_virtual(space, b'part-%b.h5', inner, h5s.create_simple((10, *tail)))
        h5py.h5d.create(f.require_group('train').id, name, dtype, space, dcpl=creation)
    for k in range(3):
        file = os.path.join(os.path.dirname(path), f'part-{k}.h5')
        with h5py.File(file, 'w') as part:
            part['pixels'] = pixels(30, 3, 32, 32)[10 * k:10 * k + 10]
            part['labels'] = labels(30)[10 * k:10 * k + 10]
    series(b'inputs', b'pixels', (3, 32, 32), h5py.h5t.STD_U8LE)
    series(b'labels', b'labels', (), h5py.h5t.STD_I64LE)
    for k in ()" +
          missing + "): os.remove(os.path.join(os.path.dirname(path), f'part-{k}.h5'))\n");
  };
  const auto refusal = [&](const std::string& missing) {
    write_without(missing);
    return message_of<InputError>([&] { Dataset({path_}); });
  };
  write_without("");
  expect_images("memory", 30);
  // HDF5 takes 10 samples without a word.
  EXPECT_THAT(refusal("1,"), HasSubstr("part-1.h5 is not there, though "));
  EXPECT_THAT(refusal("0,"), HasSubstr("part-0.h5 is not there; put it there"));
  EXPECT_THAT(refusal("0, 1, 2"), HasSubstr("part-0.h5 is not there; put it there"));
}

TEST_F(H5pyFiles, AttributesOfAnyKind) {
  write(R"(
    f['train/inputs'] = pixels(5, 3, 4, 4)
    f['train/labels'] = labels(5)
    f.attrs['classes'] = np.array(['a', 'bb', 'ccc'], dtype='S3')
    f.attrs['mean'] = np.array([0.5, 0.25, 0.125], dtype='float32')
    f.attrs['std'] = [1, 2, 3]
    f.attrs['made by'] = 'hand'
)");
  const Dataset dataset({path_});
  EXPECT_THAT(dataset.classes(), ElementsAre("a", "bb", "ccc"));
  EXPECT_THAT(dataset.mean(), ElementsAre(0.5, 0.25, 0.125));
  EXPECT_THAT(dataset.std_deviation(), ElementsAre(1, 2, 3));
  EXPECT_THAT(dataset.describe(), HasSubstr("made by: hand"));
}

TEST_F(H5pyFiles, LongListsOfClasses) {
  write(R"(
    f['train/inputs'] = pixels(5, 3, 4, 4)
    f['train/labels'] = labels(5)
    f.attrs['classes'] = ['class %d' % i for i in range(20000)]
)",
        "h5py.File(path, 'w', libver=('v108', 'v110'))");
  const Dataset dataset({path_});
  ASSERT_EQ(dataset.classes().size(), 20000U);
  EXPECT_EQ(dataset.classes()[19999], "class 19999");
}

TEST_F(H5pyFiles, WhatCannotBeRead) {
  const auto refusal = [&](const std::string& lines) {
    write(lines);
    return message_of<InputError>([&] { Dataset({path_}); });
  };
  EXPECT_THAT(refusal(R"(
    f['train/tokens'] = np.arange(5)
    f['train/offsets'] = np.arange(6)
    f['train/labels'] = labels(5)
)"),
              HasSubstr("/train/tokens: dtype is int64, must be int32"));
  EXPECT_THAT(refusal(R"(
    f['train/inputs'] = pixels(5, 3, 4, 4)
    f['train/labels'] = labels(5) > 0
)"),
              HasSubstr("/train/labels: dtype is an enumeration (numpy's bool is one), must be "
                        "int64"));
  EXPECT_THAT(refusal(R"(
    f['train/inputs'] = pixels(5, 3, 4, 4).astype('float16')
    f['train/labels'] = labels(5)
)"),
              HasSubstr("/train/inputs: dtype is float16, must be uint8 or float32"));
  EXPECT_THAT(refusal(R"(
    f['train/tokens'] = np.array(['a text', 'another'], dtype=object)
    f['train/offsets'] = np.arange(3)
    f['train/labels'] = labels(2)
)"),
              HasSubstr("/train/tokens: dtype is strings, must be int32"));
  EXPECT_THAT(refusal(R"(
    f['train/inputs'] = pixels(5, 3, 4, 4)
    f['train/labels'] = h5py.Empty('int64')
)"),
              HasSubstr("/train/labels: holds nothing (an empty dataspace)"));
  EXPECT_THAT(refusal(R"(
    f.create_dataset('train/inputs', data=pixels(50, 3, 32, 32), compression='lzf')
    f['train/labels'] = labels(50)
)"),
              HasSubstr("/train/inputs: was written with lzf (32000), which this HDF5 cannot undo; "
                        "write it with gzip"));
}

}  // namespace
}  // namespace thaw
