#include "core/data/finite_values.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "core/base/error.h"
#include "core/data/dataset.h"
#include "tests/core/data/hdf5_writer.h"

namespace thaw {
namespace {

using testing::HasSubstr;

TEST(FiniteValues, NamesTheSampleThatHoldsNone) {
  const TemporaryFolder folder;
  const std::string path = folder / "bad.h5";
  {
    Hdf5Writer file(path);
    std::vector<float> pixels(2 << 20);
    pixels[(1 << 20) + 5] = NAN;
    file.write("/train/inputs", {1 << 20, 1, 1, 2}, pixels);
    file.write("/train/labels", {1 << 20}, std::vector<std::int64_t>(1 << 20));
  }
  const Dataset dataset({path});
  EXPECT_THAT(message_of<InputError>([&] { require_finite_values(dataset, "train"); }),
              HasSubstr("bad.h5: /train/inputs: sample 524290 holds nan"));
}

TEST(FiniteValues, AreNotAskedOfBytes) {
  const TemporaryFolder folder;
  const std::string path = folder / "good.h5";
  {
    Hdf5Writer file(path);
    write_images(file, "train", 5, 3, 4, 4);
  }
  const Dataset dataset({path});
  EXPECT_NO_THROW(require_finite_values(dataset, "train"));
}

}  // namespace
}  // namespace thaw
