// Errors' statuses, and what the system tells of this process.
#include "core/base/system.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <string>
#include <thread>
#include <vector>

#include "core/base/error.h"
#include "core/base/stopwatch.h"

namespace thaw {
namespace {

TEST(Errors, HaveTheStatusesThatScriptsRelyOn) {
  EXPECT_EQ(static_cast<int>(InputError("a").status()), 2);
  EXPECT_EQ(static_cast<int>(RunError("a").status()), 3);
  EXPECT_EQ(static_cast<int>(DisagreementError("a").status()), 4);
  EXPECT_EQ(static_cast<int>(ExitStatus::kDone), 0);
  EXPECT_EQ(static_cast<int>(ExitStatus::kRequeue), 75);
  EXPECT_STREQ(RunError("what, where").what(), "what, where");
}

TEST(Errors, AreOfOneRankUntilAllAgree) {
  RunError error("a");
  EXPECT_FALSE(error.agreed());
  error.mark_agreed();
  EXPECT_TRUE(error.agreed());
  try {
    throw error;  // NOLINT(misc-throw-by-value-catch-by-reference): a copy says so too
  } catch (const Error& caught) {
    EXPECT_TRUE(caught.agreed());
  }
}

int nice_of_this_thread() { return ::getpriority(PRIO_PROCESS, 0); }

TEST(Background, ConcernsItsThreadAlone) {
  const int before = nice_of_this_thread();
  int within = before;
  std::thread([&] {
    lower_priority_of_this_thread();
    within = nice_of_this_thread();
  }).join();
  EXPECT_GE(within, 10);
  EXPECT_EQ(nice_of_this_thread(), before);
}

TEST(HostName, IsTheSystems) {
  char name[256] = {};
  ASSERT_EQ(::gethostname(name, sizeof name - 1), 0);
  EXPECT_EQ(host_name(), name);
}

TEST(TemporaryFolder, IsWhereTheUserWantsIt) {
  const char* named = getenv("TMPDIR");
  const std::string before = named != nullptr ? named : "";
  setenv("TMPDIR", "/somewhere", 1);
  EXPECT_EQ(temporary_folder(), "/somewhere");
  setenv("TMPDIR", "", 1);
  EXPECT_EQ(temporary_folder(), "/tmp");
  unsetenv("TMPDIR");
  EXPECT_EQ(temporary_folder(), "/tmp");
  if (!before.empty()) setenv("TMPDIR", before.c_str(), 1);
}

TEST(Processor, IsNamedAlikeEachTime) {
  const std::string kind = processor_kind();
  EXPECT_FALSE(kind.empty());
  EXPECT_EQ(processor_kind(), kind);
  EXPECT_THAT(kind, testing::Not(testing::HasSubstr("MHz"))) << "clocks change";
}

/// Resident while it lives.
std::vector<char> touched(std::size_t bytes) { return std::vector<char>(bytes, 1); }

TEST(PeakMemory, CountsFromWhereItWasReset) {
  constexpr std::int64_t kMost = 200 << 20;
  {
    const std::vector<char> most = touched(kMost);
    EXPECT_GT(peak_resident_bytes(), kMost) << static_cast<int>(most.back());
  }
  const std::int64_t whole = peak_resident_bytes();
  EXPECT_GT(whole, kMost);
  reset_peak_resident();
  const std::int64_t anew = peak_resident_bytes();
  if (anew == whole) GTEST_SKIP() << "the system does not let the peak be reset";
  EXPECT_LT(anew, whole - kMost / 2);
  const std::vector<char> some = touched(kMost / 4);
  EXPECT_GE(peak_resident_bytes(), anew + kMost / 8) << static_cast<int>(some.back());
}

TEST(Stopwatch, CountsSecondsAndBeginsAnew) {
  const Stopwatch whole;
  Stopwatch watch;
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  const double first = watch.lap();
  std::this_thread::sleep_for(std::chrono::milliseconds(5));
  const double second = watch.lap();
  EXPECT_GE(first, 0.02);
  EXPECT_GE(second, 0.005);
  EXPECT_LE(first + second, whole.seconds());
}

}  // namespace
}  // namespace thaw
