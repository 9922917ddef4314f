#include "core/base/given_output.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>
#include <sstream>
#include <thread>

#include "core/base/error.h"

namespace thaw {
namespace {
namespace fs = std::filesystem;

class GivenOutputTest : public testing::Test {
 protected:
  GivenOutputTest()
      : folder_(fs::temp_directory_path() / ("thaw_given_output_" + std::to_string(getpid()))) {
    fs::remove_all(folder_);
    fs::create_directories(folder_);
  }
  ~GivenOutputTest() override { fs::remove_all(folder_); }

  std::string content(const std::string& name) const {
    std::ifstream file(folder_ / name);
    std::ostringstream text;
    text << file.rdbuf();
    return text.str();
  }

  fs::path folder_;
};

TEST_F(GivenOutputTest, APlainFileIsThereWholeOrNotAtAll) {
  write_given_output(folder_ / "file", "old");
  {
    GivenOutput output(folder_ / "file");
    output.write("half of the ");
  }
  EXPECT_EQ(content("file"), "old");
  write_given_output(folder_ / "file", "new");
  EXPECT_EQ(content("file"), "new");
}

TEST_F(GivenOutputTest, ALinkStaysAndItsFileIsReplaced) {
  fs::create_directories(folder_ / "other");
  fs::create_symlink("other/file", folder_ / "link");
  write_given_output(folder_ / "link", "made");  // which led nowhere
  write_given_output(folder_ / "link", "new");
  EXPECT_TRUE(fs::is_symlink(folder_ / "link"));
  EXPECT_EQ(content("other/file"), "new");
}

TEST_F(GivenOutputTest, APipeIsWrittenThroughAlsoBehindALink) {
  ASSERT_EQ(mkfifo((folder_ / "pipe").c_str(), 0666), 0);
  fs::create_symlink("pipe", folder_ / "link");
  for (const char* name : {"pipe", "link"}) {
    std::string read;
    std::thread reader([&] { read = content("pipe"); });
    write_given_output(folder_ / name, "text");
    reader.join();
    EXPECT_EQ(read, "text");
    EXPECT_TRUE(fs::is_fifo(folder_ / "pipe"));
  }
}

TEST_F(GivenOutputTest, ADeviceIsWrittenToAndItsErrorNamed) {
  write_given_output("/dev/null", "text");
  EXPECT_TRUE(fs::is_character_file("/dev/null"));
  EXPECT_THROW(write_given_output("/dev/full", "text"), RunError);
  EXPECT_TRUE(fs::is_character_file("/dev/full"));
}

TEST_F(GivenOutputTest, WhatIsOpenAlreadyIsAddedTo) {
  std::ofstream(folder_ / "file") << "before ";
  const int opened = open((folder_ / "file").c_str(), O_WRONLY);
  for (const char* place : {"/dev/fd/", "/proc/self/fd/"}) {
    const fs::path path = place + std::to_string(opened);
    write_given_output(path, "text ");
    fs::create_symlink(path, folder_ / "link");
    write_given_output(folder_ / "link", "linked ");
    EXPECT_TRUE(fs::is_symlink(folder_ / "link"));
    fs::remove(folder_ / "link");
  }
  close(opened);
  EXPECT_EQ(content("file"), "before text linked text linked ");
  EXPECT_TRUE(fs::is_symlink("/dev/fd"));
}

TEST_F(GivenOutputTest, SaysWhatIsWrittenThrough) {
  for (const char* path : {"/dev/null", "/dev/stdout", "/dev/fd/0", "/proc/self/fd/2"}) {
    EXPECT_TRUE(is_written_through(path)) << path;
  }
  EXPECT_FALSE(is_written_through(folder_));
  EXPECT_FALSE(is_written_through(folder_ / "new"));
}

TEST_F(GivenOutputTest, AFolderIsAnError) {
  EXPECT_THROW(write_given_output(folder_, "text"), RunError);
  EXPECT_TRUE(fs::is_directory(folder_));
}

}  // namespace
}  // namespace thaw
