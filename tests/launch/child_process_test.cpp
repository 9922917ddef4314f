// Programs that the command starts, and the signals that it waits for.
#include "launch/job/child_process.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <thread>

#include "launch/job/child_jobs.h"
#include "launch/job/signal_watch.h"

namespace thaw {
namespace {

namespace fs = std::filesystem;
using Words = std::vector<std::string>;

class ChildProcessTest : public ::testing::Test {
 protected:
  ChildProcessTest() { fs::create_directories(folder_); }
  ~ChildProcessTest() override { fs::remove_all(folder_); }

  fs::path path(const std::string& name) const { return folder_ / name; }
  std::string text_of(const std::string& name) const {
    std::ifstream file(path(name));
    std::ostringstream text;
    text << file.rdbuf();
    return text.str();
  }
  /// The number that a process wrote into a file, once it is there.
  pid_t process_in(const std::string& name) const {
    for (int i = 0; i < 6000; ++i) {
      const std::string text = text_of(name);
      if (text.ends_with('\n')) return std::stoi(text);
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    ADD_FAILURE() << "nothing came up in " << name;
    return -1;
  }

 private:
  fs::path folder_ = fs::temp_directory_path() / ("thaw-child-" + std::to_string(getpid()));
};

/// Says its number in `file`, then does nothing for long.
Words sleeper(const fs::path& file) {
  return {"sh", "-c", "echo $$ > '" + file.string() + "'; exec sleep 1000"};
}

/// A process that is nobody's child any more may stay a zombie where nothing collects those.
bool is_running(pid_t process) {
  std::ifstream file("/proc/" + std::to_string(process) + "/stat");
  std::string line;
  return std::getline(file, line) && line[line.rfind(')') + 2] != 'Z';
}

bool ends(pid_t process) {
  for (int i = 0; i < 6000 && is_running(process); ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return !is_running(process);
}

TEST_F(ChildProcessTest, TellsHowItEndedAsAShellDoes) {
  EXPECT_EQ(ChildProcess({.command = {"true"}}).wait(), 0);
  EXPECT_EQ(ChildProcess({.command = {"sh", "-c", "exit 75"}}).wait(), 75);
  EXPECT_EQ(ChildProcess({.command = {"sh", "-c", "kill -9 $$"}}).wait(), 137);
  ChildProcess child({.command = {"true"}});
  const int status = child.wait();
  EXPECT_EQ(child.poll(), status);
}

TEST_F(ChildProcessTest, ConnectsStreamsAndSetsItsEnvironment) {
  ASSERT_EQ(setenv("THAW_TEST_BEFORE", "old", 1), 0);
  {
    const Descriptor output = Descriptor::create(path("out"));
    const Descriptor errors = Descriptor::create(path("err"));
    const Descriptor nothing = Descriptor::nothing();
    ChildProcess child(
        {.command = {"sh", "-c", "cat; echo $THAW_TEST_BEFORE $THAW_TEST_NEW; echo no >&2"},
         .environment = {"THAW_TEST_BEFORE=new", "THAW_TEST_NEW=a b"},
         .input = nothing.number(),
         .output = output.number(),
         .errors = errors.number()});
    EXPECT_EQ(child.wait(), 0);
  }
  EXPECT_EQ(text_of("out"), "new a b\n");
  EXPECT_EQ(text_of("err"), "no\n");
}

TEST_F(ChildProcessTest, SaysWhatCannotBeStarted) {
  try {
    ChildProcess child({.command = {"thaw-is-no-program"}});
    FAIL() << "it was started";
  } catch (const ProcessNotStarted& error) {
    EXPECT_STREQ(error.what(), "thaw-is-no-program cannot be started: No such file or directory");
  }
  EXPECT_THROW(Descriptor::create(path("no-folder") / "file"), RunError);
}

TEST_F(ChildProcessTest, SignalsOfThisProcessAreNotItsOwn) {
  const SignalWatch watch({{SIGUSR1}});
  sigset_t mask, before;
  sigemptyset(&mask);
  sigaddset(&mask, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &mask, &before);
  EXPECT_EQ(ChildProcess({.command = {"sh", "-c", "kill -TERM $$; exit 1"}}).wait(), 143);
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  EXPECT_EQ(ChildProcess({.command = {"sh", "-c", "kill -USR1 $$; exit 1"}}).wait(), 138);
  EXPECT_EQ(SignalWatch::count(SIGUSR1), 0);
}

TEST_F(ChildProcessTest, EndsWithItsOwner) {
  pid_t process = -1;
  {
    const ChildProcess child({.command = sleeper(path("pid"))});
    process = process_in("pid");
    EXPECT_TRUE(is_running(process));
  }
  EXPECT_FALSE(is_running(process));
}

TEST_F(ChildProcessTest, IsToldToEndOnce) {
  // A second SIGTERM would take the place of what it does at the first.
  const std::string script = "trap 'trap - TERM; sleep 0.2; echo saved > \"" +
                             path("saved").string() + "\"; exit 75' TERM; echo $$ > '" +
                             path("pid").string() + "'; while :; do sleep 0.05; done";
  {
    ChildProcess child({.command = {"sh", "-c", script}});
    process_in("pid");
    child.signal(SIGTERM);
  }
  EXPECT_EQ(text_of("saved"), "saved\n");
}

TEST_F(ChildProcessTest, EndsWithItsParentWhateverKillsThat) {
  const pid_t parent = fork();
  ASSERT_GE(parent, 0);
  if (parent == 0) {
    const ChildProcess child({.command = sleeper(path("pid")), .own_group = true});
    pause();
    _exit(0);
  }
  const pid_t process = process_in("pid");
  EXPECT_TRUE(is_running(process));
  kill(parent, SIGKILL);
  waitpid(parent, nullptr, 0);
  EXPECT_TRUE(ends(process));
}

TEST_F(ChildProcessTest, AGroupIsKilledWhole) {
  ChildProcess child(
      {.command = {"sh", "-c", "sleep 1000 & echo $! > '" + path("pid").string() + "'; exit 3"},
       .own_group = true});
  const pid_t process = process_in("pid");
  EXPECT_EQ(child.wait(), 3);
  EXPECT_TRUE(is_running(process));
  child.kill_group();
  EXPECT_TRUE(ends(process));
}

TEST_F(ChildProcessTest, JobsEndInTheirTimeAndASignalStopsAll) {
  std::vector<std::size_t> order;
  run_jobs({{{"sh", "-c", "sleep 0.3"}, path("a"), path("a")},
            {{"sh", "-c", "echo b; exit 4"}, path("b"), path("b.err")}},
           /*parallel=*/2, [&](std::size_t job, int status) {
             EXPECT_EQ(status, job == 0 ? 0 : 4);
             order.push_back(job);
           });
  EXPECT_EQ(order, (std::vector<std::size_t>{1, 0}));
  EXPECT_EQ(text_of("b"), "b\n");

  pid_t process = -1;
  std::thread stopper([&] {
    process = process_in("pid");
    kill(getpid(), SIGUSR1);
  });
  EXPECT_THROW(run_jobs({{sleeper(path("pid")), path("c"), path("c")}}, 1, [](auto, auto) {}),
               JobsStopped);
  stopper.join();
  EXPECT_FALSE(is_running(process));
}

TEST(SignalWatchTest, WakesForWhatCameBeforeAndMeanwhileAndInTime) {
  using Clock = std::chrono::steady_clock;
  SignalWatch watch({{SIGUSR1}, {SIGUSR2}});
  raise(SIGUSR1);
  raise(SIGUSR1);
  watch.wait();
  EXPECT_EQ(SignalWatch::count(SIGUSR1), 2);
  EXPECT_EQ(SignalWatch::count(SIGUSR2), 0);
  // On whatever thread it comes.
  std::thread other([] { raise(SIGUSR2); });
  watch.wait();
  other.join();
  EXPECT_EQ(SignalWatch::count(SIGUSR2), 1);
  const Clock::time_point begin = Clock::now();
  watch.wait(0.05);
  EXPECT_GE(Clock::now() - begin, std::chrono::milliseconds(49));
}

}  // namespace
}  // namespace thaw
