#include "core/record/folder_lease.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <fstream>
#include <memory>
#include <optional>
#include <sstream>
#include <thread>
#include <vector>

#include "core/base/error.h"
#include "core/record/lease_process.h"

namespace thaw {
namespace {
namespace fs = std::filesystem;
using namespace std::chrono_literals;
using testing::HasSubstr;

const LeaseTiming kQuick{.renew = 20ms, .time_out = 0.3};

class FolderLeaseTest : public testing::Test {
 protected:
  FolderLeaseTest()
      : folder_(fs::temp_directory_path() / ("thaw_lease_" + std::to_string(getpid()))) {
    fs::remove_all(folder_);
    fs::create_directories(folder_);
  }
  ~FolderLeaseTest() override { fs::remove_all(folder_); }

  template <class Failure>
  std::string refusal(const std::function<void()>& body) {
    try {
      body();
    } catch (const Failure& error) {
      return error.what();
    }
    return "";
  }

  std::string text_of(int generation) {
    std::ifstream file(folder_ / (".lease." + std::to_string(generation)));
    std::ostringstream text;
    text << file.rdbuf();
    return text.str();
  }

  /// A lease of another host, as this number.
  LeaseRecord elsewhere(int generation, std::uint64_t count = 0) {
    const LeaseRecord record{.count = count,
                             .owner = "other" + std::to_string(generation),
                             .host = "node9",
                             .system = "another boot",
                             .process = 77,
                             .batch_job = ""};
    write(generation, lease_text(record));
    return record;
  }
  void write(int generation, const std::string& text) {
    std::ofstream(folder_ / (".lease." + std::to_string(generation))) << text;
  }

  /// Runs `body` in a process of its own, which ends without giving anything back.
  pid_t in_child(const std::function<void()>& body) {
    const pid_t child = fork();
    if (child == 0) {
      body();
      _exit(0);
    }
    return child;
  }

  fs::path folder_;
};

TEST_F(FolderLeaseTest, HasOneHolderAtATime) {
  {
    const FolderLease lease(folder_, kQuick);
    EXPECT_EQ(lease.claim().generation, 1U);
    lease.claim().check();
    EXPECT_THAT(refusal<InputError>([&] { FolderLease(folder_, kQuick); }),
                HasSubstr("is held by process " + std::to_string(getpid())));
    lease.claim().check();
  }
  const FolderLease next(folder_, kQuick);
  EXPECT_EQ(next.claim().generation, 2U);
  EXPECT_EQ(text_of(1), "") << "a lease that does not count any more";
}

TEST_F(FolderLeaseTest, OfAKilledProcessIsTakenAtOnce) {
  int ready[2];
  ASSERT_EQ(pipe(ready), 0);
  const pid_t child = in_child([&] {
    const FolderLease lease(folder_, kQuick);
    [[maybe_unused]] const ssize_t told = ::write(ready[1], "x", 1);
    pause();
  });
  char byte = 0;
  ASSERT_EQ(read(ready[0], &byte, 1), 1);
  const LeaseTiming patient{.renew = 20ms, .time_out = 3600};
  EXPECT_THAT(refusal<InputError>([&] { FolderLease(folder_, patient); }),
              HasSubstr("is held by process " + std::to_string(child)));
  kill(child, SIGSTOP);  // not dead
  EXPECT_NE(refusal<InputError>([&] { FolderLease(folder_, patient); }), "");
  kill(child, SIGKILL);
  siginfo_t ended;
  waitid(P_PID, static_cast<id_t>(child), &ended, WEXITED | WNOWAIT);  // a zombie is dead too
  EXPECT_EQ(FolderLease(folder_, patient).claim().generation, 2U);
  waitpid(child, nullptr, 0);
  EXPECT_EQ(FolderLease(folder_, patient).claim().generation, 3U);
}

TEST_F(FolderLeaseTest, OfAnotherHostThatRenewsIsRefusedAndThatDoesNotIsTaken) {
  elsewhere(1);
  LeaseTiming timing = kQuick;
  std::uint64_t looks = 0;
  timing.waiting = [&] { elsewhere(1, ++looks); };
  EXPECT_THAT(refusal<InputError>([&] { FolderLease(folder_, timing); }),
              HasSubstr("is held by process 77 on node9"));
  timing.waiting = [] {};
  const auto begin = std::chrono::steady_clock::now();
  const FolderLease lease(folder_, timing);
  EXPECT_GE(std::chrono::steady_clock::now() - begin, 300ms);
  EXPECT_EQ(lease.claim().generation, 2U);
}

TEST_F(FolderLeaseTest, ThatAnotherTookWhileItWasWatchedIsWatchedAnew) {
  elsewhere(1);
  LeaseTiming timing = kQuick;
  int looks = 0;
  timing.waiting = [&] {
    if (++looks == 5) elsewhere(2);
    if (looks > 5) elsewhere(2, static_cast<std::uint64_t>(looks));
  };
  EXPECT_NE(refusal<InputError>([&] { FolderLease(folder_, timing); }), "");
}

TEST_F(FolderLeaseTest, TheOldHolderNoticesBeforeItWrites) {
  const FolderLease lease(folder_, kQuick);
  lease.claim().check();
  elsewhere(2);
  EXPECT_THAT(refusal<RunError>([&] { lease.claim().check(); }),
              HasSubstr("is held by process 77 on node9 now"));
}

TEST_F(FolderLeaseTest, OfAFolderThatWasMadeAnewIsNotTheOldOne) {
  const FolderLease lease(folder_, kQuick);
  fs::remove_all(folder_);
  lease.claim().check();  // nobody else's
  fs::create_directories(folder_);
  const FolderLease other(folder_, kQuick);
  EXPECT_EQ(other.claim().generation, lease.claim().generation);
  EXPECT_NE(refusal<RunError>([&] { lease.claim().check(); }), "");
  other.claim().check();
}

TEST_F(FolderLeaseTest, RenewalsAndGivingBackTouchNoOtherLease) {
  auto lease = std::make_unique<FolderLease>(folder_, kQuick);
  const std::string other = lease_text(elsewhere(2));
  fs::remove(folder_ / ".lease.1");
  write(1, "another's now");
  std::this_thread::sleep_for(100ms);
  lease.reset();
  EXPECT_EQ(text_of(2), other);
  EXPECT_EQ(text_of(1), "another's now");
}

TEST_F(FolderLeaseTest, ACutFileIsWatchedLikeAHolderElsewhere) {
  write(4, "");
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_EQ(FolderLease(folder_, kQuick).claim().generation, 5U);
  EXPECT_GE(std::chrono::steady_clock::now() - begin, 300ms);
}

TEST_F(FolderLeaseTest, FollowsNoLinkAndWaitsForNoPipe) {
  std::ofstream(folder_ / "precious") << "text";
  fs::create_symlink("precious", folder_ / ".lease.1");
  EXPECT_THAT(refusal<InputError>([&] { FolderLease(folder_, kQuick); }),
              HasSubstr(".lease.1: is no plain file"));
  fs::remove(folder_ / ".lease.1");
  ASSERT_EQ(mkfifo((folder_ / ".lease.1").c_str(), 0666), 0);
  EXPECT_NE(refusal<InputError>([&] { FolderLease(folder_, kQuick); }), "");
  std::ifstream file(folder_ / "precious");
  std::string text;
  EXPECT_TRUE(std::getline(file, text));
  EXPECT_EQ(text, "text");
}

TEST_F(FolderLeaseTest, RemovesWhatDeadTakersLeftAndNothingElse) {
  const pid_t gone = in_child([] {});
  waitpid(gone, nullptr, 0);
  LeaseRecord record{
      .owner = "a", .host = "here", .system = this_system(), .process = gone, .batch_job = ""};
  std::ofstream(folder_ / ".lease-a") << lease_text(record);
  record.process = getpid();
  record.started = 1;  // another process of the same number, which is gone
  std::ofstream(folder_ / ".lease-b") << lease_text(record);
  record.system = "another boot";
  std::ofstream(folder_ / ".lease-c") << lease_text(record);
  const FolderLease lease(folder_, kQuick);
  EXPECT_FALSE(fs::exists(folder_ / ".lease-a"));
  EXPECT_FALSE(fs::exists(folder_ / ".lease-b"));
  EXPECT_TRUE(fs::exists(folder_ / ".lease-c"));
}

/// Each of many processes takes the lease again and again, and while it has it nobody else may.
TEST_F(FolderLeaseTest, ManyTakersNeverHoldItTogether) {
  constexpr int kTakers = 6, kTimes = 40;
  const fs::path inside = folder_ / "inside";
  std::vector<pid_t> takers;
  for (int i = 0; i < kTakers; ++i) {
    takers.push_back(fork());
    if (takers.back() != 0) continue;
    for (int taken = 0; taken < kTimes;) {
      std::optional<FolderLease> lease;
      try {
        lease.emplace(folder_, LeaseTiming{.renew = 5ms, .time_out = 60});
      } catch (const InputError&) {
        usleep(500);
        continue;
      }
      if (mkdir(inside.c_str(), 0777) != 0) _exit(1);
      lease->claim().check();
      usleep(200);
      if (rmdir(inside.c_str()) != 0) _exit(1);
      if (++taken == kTimes) _exit(0);  // the last one as if it was killed
    }
  }
  for (const pid_t taker : takers) {
    int status = 0;
    waitpid(taker, &status, 0);
    EXPECT_EQ(status, 0);
  }
}

TEST_F(FolderLeaseTest, TellsWhoHoldsAFolderAndTakesNothing) {
  EXPECT_EQ(holder_of_folder(folder_), std::nullopt);
  EXPECT_TRUE(fs::is_empty(folder_));
  {
    const FolderLease lease(folder_, kQuick);
    const std::optional<std::string> holder = holder_of_folder(folder_);
    ASSERT_TRUE(holder);
    EXPECT_THAT(*holder, HasSubstr("process " + std::to_string(getpid())));
    EXPECT_NO_THROW(lease.claim().check());
  }
  EXPECT_EQ(holder_of_folder(folder_), std::nullopt);
}

TEST_F(FolderLeaseTest, AHolderElsewhereCountsWhereItsLeaseMoves) {
  elsewhere(3);
  EXPECT_EQ(holder_of_folder(folder_, /*patience=*/0.5), std::nullopt);
  std::thread renewer([&] {
    std::this_thread::sleep_for(300ms);
    elsewhere(3, /*count=*/1);
  });
  const std::optional<std::string> holder = holder_of_folder(folder_, /*patience=*/20);
  renewer.join();
  ASSERT_TRUE(holder);
  EXPECT_THAT(*holder, HasSubstr("process 77 on node9"));
}

}  // namespace
}  // namespace thaw
