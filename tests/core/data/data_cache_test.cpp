// Chunked data: decoded to the same bytes in every mode, once, and only while its source is as it
// was.

#include "core/data/cache/data_cache.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <new>
#include <numeric>
#include <random>
#include <set>
#include <thread>

#include "core/base/error.h"
#include "core/data/cache/cache_file.h"
#include "core/data/dataset.h"
#include "core/data/hdf5/chunked_byte_store.h"
#include "core/data/hdf5/hdf5_file.h"
#include "tests/core/data/hdf5_writer.h"

namespace thaw {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

constexpr std::int64_t kSamples = 53;

class DataCache : public testing::Test {
 protected:
  void write(const TestLayout& layout, std::int64_t samples = kSamples) {
    Hdf5Writer file(path_);
    write_images(file, "train", samples, 3, 6, 5, 3, layout);
  }
  /// Every sample, alone, in random order, and all together.
  static void expect_all_readable(const Split& split) {
    const std::vector<std::uint8_t> expected = test_images(split.size(), 3, 6, 5);
    std::vector<std::uint8_t> image(90);
    std::vector<std::int64_t> samples(split.size());
    std::iota(samples.begin(), samples.end(), 0);
    std::vector<std::uint8_t> all(expected.size());
    split.read(samples, reinterpret_cast<std::byte*>(all.data()));
    EXPECT_EQ(all, expected);
    std::shuffle(samples.begin(), samples.end(), std::mt19937(1));
    for (const std::int64_t sample : samples) {
      split.read(std::span(&sample, 1), reinterpret_cast<std::byte*>(image.data()));
      ASSERT_TRUE(std::equal(image.begin(), image.end(), expected.begin() + sample * 90)) << sample;
    }
  }
  std::vector<std::string> cached() const {
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(cache_)) {
      if (entry.path().extension() != ".lock") names.push_back(entry.path().filename().string());
    }
    return names;
  }
  /// Prepares the split in the folder; whether it was decoded rather than found.
  bool decodes() {
    bool decoded = false;
    Dataset dataset({path_});
    dataset.split("train").prepare(
        {.mode = cache_,
         .progress = [&](const std::string&, std::int64_t, std::int64_t) { decoded = true; }});
    expect_all_readable(dataset.split("train"));
    return decoded;
  }

  TemporaryFolder folder_;
  std::string path_ = folder_ / "chunked.h5";
  std::string cache_ = folder_ / "cache";
};

TEST_F(DataCache, EveryLayoutReadsTheSameInEveryMode) {
  const std::vector<TestLayout> layouts = {
      {},
      {.chunk = {10, 3, 6, 5}},
      {.chunk = {7, 1, 4, 2}, .gzip = 4, .shuffle = true},
      {.chunk = {100, 3, 6, 5}, .max_shape = {H5S_UNLIMITED, 3, 6, 5}},
      {.chunk = {1, 3, 6, 5}, .gzip = 1},
      {.compact = true},
  };
  for (const TestLayout& layout : layouts) {
    for (const std::string& mode :
         {std::string("auto"), std::string("memory"), std::string("off"), cache_}) {
      write(layout);
      Dataset dataset({path_});
      Split& split = dataset.split("train");
      EXPECT_EQ(split.prepared(), layout.chunk.empty() && !layout.compact);
      split.prepare({.mode = mode});
      EXPECT_TRUE(split.prepared());
      EXPECT_EQ(split.blocks().empty(),
                mode != "off" || split.describe().find("again") == std::string::npos);
      expect_all_readable(split);
    }
  }
}

TEST_F(DataCache, SeveralFilesMayDifferInLayout) {
  for (const std::string& mode : {std::string("memory"), std::string("off")}) {
    std::vector<std::string> files;
    for (int k = 0; k < 3; ++k) {
      files.push_back(folder_ / ("part" + std::to_string(k) + ".h5"));
      Hdf5Writer file(files.back());
      write_text(file, "train", 40, 3,
                 {.chunk = k == 1 ? std::vector<hsize_t>{} : std::vector<hsize_t>{16}}, k);
    }
    Dataset dataset(files);
    Split& split = dataset.split("train");
    EXPECT_FALSE(split.prepared());
    split.prepare({.mode = mode});
    for (std::int64_t i = 0; i < 120; ++i) {
      std::vector<std::int32_t> tokens(split.elements(i));
      split.read(std::span(&i, 1), reinterpret_cast<std::byte*>(tokens.data()));
      EXPECT_EQ(tokens, test_tokens(i % 40, i / 40));
    }
  }
}

TEST_F(DataCache, SaysWhereTheDataWent) {
  write({.chunk = {10, 3, 6, 5}});
  const auto described = [&](const std::string& mode) {
    Dataset dataset({path_});
    dataset.split("train").prepare({.mode = mode});
    return dataset.split("train").describe();
  };
  EXPECT_THAT(described("memory"), StartsWith("53 samples; chunks of 10 x 3 x 6 x 5, decoded into "
                                              "memory (4.7 KiB of "));
  EXPECT_THAT(described("off"), HasSubstr("decoded again and again, "));
  EXPECT_THAT(described(cache_), HasSubstr("decoded into " + cache_ + "/chunked.train.inputs."));
  EXPECT_THAT(described(cache_), HasSubstr("found decoded in " + cache_));
}

TEST_F(DataCache, TellsItsProgress) {
  write({.chunk = {10, 3, 6, 5}});
  std::vector<std::int64_t> done;
  Dataset dataset({path_});
  dataset.split("train").prepare(
      {.mode = "memory", .progress = [&](const std::string& what, std::int64_t d, std::int64_t t) {
         EXPECT_THAT(what, HasSubstr("chunked.h5: /train/inputs"));
         EXPECT_EQ(t, kSamples * 90);
         done.push_back(d);
       }});
  ASSERT_GE(done.size(), 2U);
  EXPECT_EQ(done.front(), 0);
  EXPECT_EQ(done.back(), kSamples * 90);
}

TEST_F(DataCache, AFolderIsDecodedIntoOnce) {
  write({.chunk = {10, 3, 6, 5}, .gzip = 4});
  EXPECT_TRUE(decodes());
  EXPECT_FALSE(decodes());
  EXPECT_EQ(cached().size(), 1U);
}

TEST_F(DataCache, AChangedSourceIsDecodedAgainAndItsOldCacheRemoved) {
  write({.chunk = {10, 3, 6, 5}});
  EXPECT_TRUE(decodes());
  const auto modified = std::filesystem::last_write_time(path_);
  std::filesystem::last_write_time(path_, modified + std::chrono::seconds(1));
  EXPECT_TRUE(decodes());
  EXPECT_EQ(cached().size(), 1U);
  write({.chunk = {10, 3, 6, 5}}, kSamples + 1);
  EXPECT_TRUE(decodes());
  EXPECT_EQ(cached().size(), 1U);
}

TEST_F(DataCache, ADamagedCacheIsNotUsed) {
  write({.chunk = {10, 3, 6, 5}});
  EXPECT_TRUE(decodes());
  const std::string name = cache_ + "/" + cached().front();
  std::filesystem::resize_file(name, 5000);  // cut short
  EXPECT_TRUE(decodes());
  {
    std::fstream file(name, std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(30);
    file << "x";  // its header is another's
  }
  EXPECT_TRUE(decodes());
  EXPECT_FALSE(decodes());
}

TEST_F(DataCache, AFlippedByteIsFoundAndDecodedAnew) {
  write({.chunk = {10, 3, 6, 5}});
  EXPECT_TRUE(decodes());
  const std::string name = cache_ + "/" + cached().front();
  const auto flip = [&] {
    std::fstream file(name, std::ios::in | std::ios::out | std::ios::binary);
    file.seekg(CacheFile::kHeaderBytes + 1234);
    const char was = static_cast<char>(file.get());
    file.seekp(CacheFile::kHeaderBytes + 1234);
    file.put(static_cast<char>(was ^ 1));
  };
  flip();
  testing::internal::CaptureStderr();
  EXPECT_FALSE(decodes());  // all that is read is right, without all being decoded
  EXPECT_THAT(testing::internal::GetCapturedStderr(), HasSubstr("was damaged between bytes 4096"));
  testing::internal::CaptureStderr();
  EXPECT_FALSE(decodes());  // and the file is mended
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "");
  // Where its source is gone by then, it is an error that says what to do.
  flip();
  Dataset dataset({path_});
  dataset.split("train").prepare({.mode = cache_});
  std::filesystem::rename(path_, path_ + ".gone");
  EXPECT_THAT(message_of<RunError>([&] { expect_all_readable(dataset.split("train")); }),
              HasSubstr("delete it and start again"));
}

TEST_F(DataCache, WhatAKilledProcessLeftIsRemoved) {
  write({.chunk = {10, 3, 6, 5}});
  EXPECT_TRUE(decodes());
  const std::string name = cached().front();
  char host[256] = {};
  ::gethostname(host, sizeof(host) - 1);
  const std::string partial = cache_ + "/" + name + ".partial." + host + ".1";
  std::filesystem::rename(cache_ + "/" + name, partial);
  std::ofstream(cache_ + "/" + name + ".partial.elsewhere.1") << "of another host";
  EXPECT_TRUE(decodes());
  EXPECT_FALSE(std::filesystem::exists(partial));
  EXPECT_THAT(cached(), testing::UnorderedElementsAre(name, name + ".partial.elsewhere.1"));
}

TEST_F(DataCache, OneProcessDecodesAndTheOthersWaitAndTellItsProgress) {
  write({.chunk = {10, 3, 6, 5}, .gzip = 1});
  // The one that decodes goes on when the five others have told how far it is.
  void* shared = ::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  ASSERT_NE(shared, MAP_FAILED);
  auto* told = new (shared) std::atomic<int>(0);
  std::vector<pid_t> children;
  for (int i = 0; i < 6; ++i) {
    const pid_t child = ::fork();
    if (child == 0) {
      const Hdf5File file(path_);
      const Hdf5Dataset dataset = file.dataset("/train/inputs");
      std::int64_t last = -1;
      bool decoded = false;
      CacheFile cache(cache_, dataset, [&](const std::string&, std::int64_t done, std::int64_t) {
        if (done == 1000 && last != 1000 && !decoded) ++*told;
        last = done;
      });
      cache.open([&](std::byte* memory, const DecodeCalls& calls) {
        decoded = true;
        calls.progress("", 1000, dataset.bytes());
        for (int wait = 0; wait < 600 && *told < 5; ++wait) {
          std::this_thread::sleep_for(std::chrono::milliseconds(100));
        }
        decode(dataset, memory, calls);
      });
      ::_exit(last != dataset.bytes() ? 2 : decoded ? 1 : 0);
    }
    children.push_back(child);
  }
  int decoded = 0;
  for (const pid_t child : children) {
    int status = 0;
    ::waitpid(child, &status, 0);
    ASSERT_TRUE(WIFEXITED(status));
    EXPECT_LT(WEXITSTATUS(status), 2) << "did not tell the end";
    decoded += WEXITSTATUS(status) == 1 ? 1 : 0;
  }
  EXPECT_EQ(decoded, 1);
  EXPECT_EQ(*told, 5);
  ::munmap(shared, 4096);
  EXPECT_EQ(cached().size(), 1U);
  EXPECT_FALSE(decodes());
}

TEST_F(DataCache, AFailureLeavesNothingBehind) {
  write({.chunk = {10, 3, 6, 5}});
  const Hdf5File file(path_);
  const Hdf5Dataset dataset = file.dataset("/train/inputs");
  CacheFile cache(cache_, dataset, nullptr);
  const auto fails = [](std::byte*, const DecodeCalls&) { throw RunError("no"); };
  EXPECT_THROW(cache.open(fails), RunError);
  EXPECT_TRUE(cached().empty());
}

TEST_F(DataCache, SaysThatThereIsNoRoom) {
  // Nothing is written and 16 KiB are stored, so 100 TB of zeros are refused as a claim; what is
  // stored well may be credible and still not fit.
  write({.chunk = {10, 3, 6, 5}});
  Dataset dataset({path_});
  EXPECT_THAT(message_of<InputError>([&] {
                dataset.split("train").prepare({.mode = "memory", .local_processes = 1 << 30});
              }),
              AllOf(HasSubstr("chunked.h5: /train/inputs: decoded it takes 4.7 KiB in memory "
                              "(1073741824 processes of this host hold it)"),
                    HasSubstr("set data.cache to a folder"), HasSubstr("h5repack -l CONTI")));
  EXPECT_THAT(message_of<InputError>([&] { dataset.split("train").prepare({.mode = path_}); }),
              HasSubstr("chunked.h5: cannot be made: "));
  EXPECT_THAT(message_of<InputError>([&] { dataset.split("train").prepare({.mode = "/proc/1"}); }),
              HasSubstr("(data.cache names the folder)"));
  EXPECT_FALSE(dataset.split("train").prepared());
}

TEST_F(DataCache, TheDefaultFolderIsOnlyTheUsers) {
  const std::string temporary = folder_ / "tmp";
  std::filesystem::create_directory(temporary);
  const char* before = std::getenv("TMPDIR");
  const std::string kept = before != nullptr ? before : "";
  ::setenv("TMPDIR", temporary.c_str(), 1);
  const std::string cache = default_cache_folder();
  EXPECT_EQ(cache, temporary + "/thaw-data-" + std::to_string(::getuid()));
  EXPECT_EQ(default_cache_folder(), cache);
  std::filesystem::permissions(cache, std::filesystem::perms::all);
  EXPECT_THAT(message_of<InputError>([] { default_cache_folder(); }),
              HasSubstr("is not a folder that only you can write to"));
  std::filesystem::remove(cache);
  std::filesystem::create_directory_symlink(folder_.path(), cache);
  EXPECT_THAT(message_of<InputError>([] { default_cache_folder(); }),
              HasSubstr("is not a folder that only you can write to"));
  before != nullptr ? ::setenv("TMPDIR", kept.c_str(), 1) : ::unsetenv("TMPDIR");
}

TEST_F(DataCache, BlocksAreKeptUpToTheirCapacity) {
  BlockCache cache(100);
  const auto get = [&](std::int64_t index, std::size_t size) {
    return cache.get(this, index, [&] { return std::vector<std::byte>(size); })->size();
  };
  EXPECT_EQ(get(0, 40), 40U);
  EXPECT_EQ(get(1, 40), 40U);
  EXPECT_EQ(get(0, 40), 40U);
  EXPECT_EQ(cache.loads(), 2);
  get(2, 40);  // drops 1, used longest ago
  get(0, 40);
  EXPECT_EQ(cache.loads(), 3);
  get(1, 40);
  EXPECT_EQ(cache.loads(), 4);
  get(3, 1000);  // larger than all: still kept, with the one before it
  get(3, 1000);
  get(1, 40);
  EXPECT_EQ(cache.loads(), 5);
}

TEST_F(DataCache, ThreadsMayReadAndOpenAtTheSameTime) {
  write({.chunk = {1, 1, 2, 5}, .gzip = 4});
  Dataset dataset({path_});
  dataset.split("train").prepare({.mode = "off"});
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&, i] {
      if (i % 2 == 0) {
        expect_all_readable(dataset.split("train"));
      } else {
        Dataset other({path_});
        other.split("train").prepare({.mode = "memory"});
        expect_all_readable(other.split("train"));
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

}  // namespace
}  // namespace thaw
