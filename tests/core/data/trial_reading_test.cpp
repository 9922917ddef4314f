#include "core/data/hdf5/trial_reading.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <iterator>

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

/// All of the file at `path`.
std::string bytes_of(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

// HDF5 takes memory for a whole chunk before it finds that the file does not hold it.
TEST(ReadOnTrial, FindsChunksLargerThanTheirFile) {
  const TemporaryFolder folder;
  const std::string path = folder / "a.h5";
  {
    Hdf5Writer file(path);
    file.write("/train/labels", {40}, std::vector<std::int64_t>(40),
               {.chunk = {16}, .max_shape = {H5S_UNLIMITED}});
    file.write("/train/inputs", {40, 1, 1, 1}, std::vector<std::uint8_t>(40));
  }
  EXPECT_EQ(failure_of_trial(path), "no error");
  // The layout's dimensions: of the chunk, and of the element.
  std::string bytes = bytes_of(path);
  const std::size_t place = bytes.find(std::string("\x10\0\0\0\x08\0\0\0", 8));
  ASSERT_NE(place, std::string::npos);
  bytes[place + 3] = 4;
  std::ofstream(path, std::ios::binary) << bytes;
  EXPECT_THAT(failure_of_trial(path), HasSubstr("/train/labels: claims chunks of 536871040 bytes"));
}

// Else what its index says would make any shape credible.
TEST(ReadOnTrial, FindsAnIndexOfMoreThanTheFile) {
  const TemporaryFolder folder;
  const std::string path = folder / "a.h5";
  {
    Hdf5Writer file(path);
    file.write("/train/labels", {40}, std::vector<std::int64_t>(40), {.chunk = {16}, .gzip = 1});
    file.write("/train/inputs", {40, 1, 1, 1}, std::vector<std::uint8_t>(40));
  }
  EXPECT_EQ(failure_of_trial(path), "no error");
  std::string bytes = bytes_of(path);
  const std::size_t node = bytes.find("TREE\1");  // of chunks; the first key begins with a size
  ASSERT_NE(node, std::string::npos);
  bytes[node + 24 + 3] = 0x20;
  std::ofstream(path, std::ios::binary) << bytes;
  EXPECT_THAT(failure_of_trial(path), HasSubstr("bytes of chunks in a file of"));
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
