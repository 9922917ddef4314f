#include "core/data/trial_reading.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "core/base/error.h"
#include "tests/core/data/hdf5_writer.h"

namespace thaw {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::vector<std::string> parts_of(const std::string& path) {
  std::vector<std::string> parts;
  read_on_trial(path, [&](const std::string& part) { parts.push_back(part); });
  return parts;
}

/// What reading says, after the part that it was at.
std::string failure_of_trial(const std::string& path) {
  std::string at;
  try {
    read_on_trial(path, [&](const std::string& part) { at = part; });
  } catch (const InputError& error) {
    return at + ": " + error.what();
  }
  return "no error";
}

TEST(ReadOnTrial, TellsEachPartBeforeItIsRead) {
  const TemporaryFolder folder;
  const std::string path = folder / "a.h5";
  {
    Hdf5Writer file(path);
    write_text(file, "train", 10);
    write_text(file, "validation", 4);
  }
  EXPECT_THAT(parts_of(path),
              ElementsAre("its index", "the attributes", "its index", "/train", "/validation"));
}

TEST(ReadOnTrial, DecodesChunks) {
  const TemporaryFolder folder;
  const std::string path = folder / "a.h5";
  haddr_t address = 0;
  hsize_t size = 0;
  {
    Hdf5Writer file(path);
    write_text(file, "train", 100, 3, {.chunk = {16}, .gzip = 4});
    const hid_t tokens = H5Dopen2(file.id(), "/train/tokens", H5P_DEFAULT);
    const hid_t space = H5Dget_space(tokens);
    hsize_t first = 0;
    unsigned skipped = 0;
    ASSERT_GE(H5Dget_chunk_info(tokens, space, 7, &first, &skipped, &address, &size), 0);
    H5Sclose(space);
    H5Dclose(tokens);
  }
  EXPECT_EQ(failure_of_trial(path), "no error");
  std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
  file.seekp(static_cast<std::streamoff>(address));
  file << std::string(size, '\xff');
  file.close();
  EXPECT_THAT(failure_of_trial(path), HasSubstr("/train: " + path + ": /train/tokens: rows"));
}

TEST(ReadOnTrial, FindsWhatADatasetRefuses) {
  const TemporaryFolder folder;
  const std::string path = folder / "a.h5";
  {
    Hdf5Writer file(path);
    write_text(file, "train", 10);
    file.numbers("classes", {1, 2});
  }
  EXPECT_THAT(failure_of_trial(path), HasSubstr("the attributes: " + path));
}

}  // namespace
}  // namespace thaw
