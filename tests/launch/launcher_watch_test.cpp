// Ranks notice that nobody is left to end them.
#include "launch/job/launcher_watch.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <future>

namespace thaw {
namespace {

pid_t sleeping_process() {
  const pid_t process = fork();
  if (process == 0) {
    while (true) pause();
  }
  return process;
}

TEST(LauncherWatchTest, TellsOfItsEndOnceAndOfNoOther) {
  const pid_t launcher = sleeping_process(), other = sleeping_process();
  std::promise<void> gone;
  bool other_gone = false;
  {
    const LauncherWatch watch(launcher, [&] { gone.set_value(); });
    const LauncherWatch other_watch(other, [&] { other_gone = true; });
    std::future<void> told = gone.get_future();
    EXPECT_EQ(told.wait_for(std::chrono::milliseconds(1500)), std::future_status::timeout);
    kill(launcher, SIGKILL);  // and nobody waits for it: it stays a zombie
    EXPECT_EQ(told.wait_for(std::chrono::seconds(20)), std::future_status::ready);
  }
  EXPECT_FALSE(other_gone);
  kill(other, SIGKILL);
  waitpid(launcher, nullptr, 0);
  waitpid(other, nullptr, 0);
}

}  // namespace
}  // namespace thaw
