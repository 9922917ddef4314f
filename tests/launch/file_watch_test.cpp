// A call to the file system that does not come back is told by its path.
#include "launch/job/file_watch.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <future>
#include <string>
#include <thread>

#include "core/base/file_use.h"
#include "core/base/whole_file.h"

namespace thaw {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

void sleep_for(double seconds) {
  std::this_thread::sleep_for(std::chrono::duration<double>(seconds));
}

TEST(FileUseTest, ShowsTheInnermostCallOfEachThread) {
  EXPECT_THAT(FileUse::all(), IsEmpty());
  const FileUse outer("write", "a");
  {
    const FileUse inner("flush", "b");
    ASSERT_THAT(FileUse::all(), SizeIs(1));
    EXPECT_EQ(FileUse::all()[0].action, "flush");
    EXPECT_EQ(FileUse::all()[0].path, "b");
    std::thread([] {
      const FileUse other("read", "c");
      EXPECT_THAT(FileUse::all(), SizeIs(2));
    }).join();
  }
  ASSERT_THAT(FileUse::all(), SizeIs(1));
  EXPECT_EQ(FileUse::all()[0].path, "a");
}

TEST(FileWatchTest, NamesTheCallThatDoesNotComeBack) {
  std::promise<std::string> told;
  const FileUse use("write", "/dead/file");
  const FileWatch watch(0.2, [&](const std::string& what) { told.set_value(what); });
  std::future<std::string> what = told.get_future();
  ASSERT_EQ(what.wait_for(std::chrono::seconds(20)), std::future_status::ready);
  EXPECT_THAT(what.get(), HasSubstr("cannot write /dead/file: its file system has not answered"));
}

TEST(FileWatchTest, ManyCallsThatComeBackAreNoHang) {
  std::atomic<int> told = 0;
  // Together they take twice as long; no machine stands still for so long within one.
  const FileWatch watch(2, [&](const std::string&) { ++told; });
  const FileWatch never(0, [&](const std::string&) { ++told; });
  for (int call = 0; call < 40; ++call) {
    const FileUse use("write", "/slow/file");
    sleep_for(0.1);
  }
  EXPECT_EQ(told, 0);
}

// A FIFO that nobody reads is opened for ever: what a dead server looks like.
TEST(FileWatchTest, SeesAFileThatIsOpened) {
  const std::string path = ::testing::TempDir() + "/thaw-fifo-" + std::to_string(getpid());
  ASSERT_EQ(mkfifo(path.c_str(), 0600), 0);
  std::promise<std::string> told;
  const FileWatch watch(0.2, [&](const std::string& what) { told.set_value(what); });
  std::thread writer([&] { OutputFile(path, 0); });
  std::future<std::string> what = told.get_future();
  EXPECT_EQ(what.wait_for(std::chrono::seconds(20)), std::future_status::ready);
  const int reader = open(path.c_str(), O_RDONLY);
  writer.join();
  close(reader);
  unlink(path.c_str());
  EXPECT_THAT(what.get(), HasSubstr("cannot create " + path));
}

}  // namespace
}  // namespace thaw
