#include "core/base/whole_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cerrno>
#include <fstream>
#include <iterator>

#include "core/base/error.h"

namespace thaw {
namespace {
namespace fs = std::filesystem;

class WholeFileTest : public testing::Test {
 protected:
  WholeFileTest()
      : folder_(fs::temp_directory_path() / ("thaw_whole_file_" + std::to_string(getpid()))),
        path_(folder_ / "file") {
    fs::remove_all(folder_);
    fs::create_directories(folder_);
  }
  ~WholeFileTest() override { fs::remove_all(folder_); }

  std::string content() const {
    std::ifstream file(path_);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  std::ptrdiff_t files() const {
    return std::distance(fs::directory_iterator(folder_), fs::directory_iterator());
  }

  fs::path folder_, path_;
};

TEST_F(WholeFileTest, ReplacesAndLeavesNothingElse) {
  write_whole_file(path_, "old, and longer");
  write_whole_file(path_, "new");
  EXPECT_EQ(content(), "new");
  EXPECT_EQ(files(), 1);
}

TEST_F(WholeFileTest, IsNotThereBeforeItIsWhole) {
  write_whole_file(path_, "old");
  {
    WholeFile file(path_);
    file.write("half of the ");
    EXPECT_EQ(content(), "old");
    EXPECT_EQ(files(), 2);
  }
  EXPECT_EQ(content(), "old");  // as where an exception came between
  EXPECT_EQ(files(), 1);
}

TEST_F(WholeFileTest, SaysWhatFailed) {
  try {
    write_whole_file(folder_ / "missing" / "file", "text");
    FAIL() << "no error";
  } catch (const RunError& error) {
    EXPECT_THAT(error.what(), testing::HasSubstr("/missing/file"));
    EXPECT_THAT(error.what(), testing::HasSubstr(": cannot create it: No such file"));
  }
  fs::create_directories(path_ / "taken");
  EXPECT_THROW(write_whole_file(path_, "text"), RunError);
  EXPECT_EQ(files(), 1);
}

TEST_F(WholeFileTest, AFullDiskIsNamed) {
  if (!fs::exists("/dev/full")) GTEST_SKIP();
  OutputFile file("/dev/full", 0, [](int error) { return error == ENOSPC ? "; buy one" : ""; });
  try {
    file.write("text", 4);
    FAIL() << "no error";
  } catch (const RunError& error) {
    EXPECT_STREQ(error.what(), "/dev/full: cannot write it: No space left on device; buy one");
  }
}

}  // namespace
}  // namespace thaw
