#include "core/data/loading/read_ahead.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>

namespace thaw {
namespace {

using namespace std::chrono_literals;

/// Counts up to `end`, then ends; throws at `bad`.
ReadAhead<int>::Make counter(int end, int bad = -1, std::atomic<int>* made = nullptr) {
  return [=, next = 0]() mutable -> std::optional<int> {
    if (next == bad) throw std::runtime_error("bad " + std::to_string(bad));
    if (next == end) return std::nullopt;
    if (made != nullptr) ++*made;
    return next++;
  };
}

class ReadAheadTest : public testing::TestWithParam<int> {};

TEST_P(ReadAheadTest, YieldsAllInOrderAndThenNothing) {
  ReadAhead<int> items(GetParam(), counter(100));
  for (int i = 0; i < 100; ++i) EXPECT_EQ(items.next(), i);
  EXPECT_EQ(items.next(), std::nullopt);
  EXPECT_EQ(items.next(), std::nullopt);
}

TEST_P(ReadAheadTest, RethrowsAfterWhatWasMadeBefore) {
  ReadAhead<int> items(GetParam(), counter(100, 3));
  for (int i = 0; i < 3; ++i) EXPECT_EQ(items.next(), i);
  EXPECT_THROW(items.next(), std::runtime_error);
  EXPECT_THROW(items.next(), std::runtime_error);
  items.restart(counter(2));
  EXPECT_EQ(items.next(), 0);
  EXPECT_EQ(items.next(), 1);
  EXPECT_EQ(items.next(), std::nullopt);
}

TEST_P(ReadAheadTest, RestartsAtAnyTime) {
  ReadAhead<int> items(GetParam(), counter(1 << 30));
  for (int round = 0; round < 50; ++round) {
    for (int i = 0; i < round % 5; ++i) EXPECT_EQ(items.next(), i);
    items.restart(counter(1 << 30));
  }
}

INSTANTIATE_TEST_SUITE_P(Depths, ReadAheadTest, testing::Values(0, 1, 4));

TEST(ReadAheadTest, KeepsNoMoreThanItsDepth) {
  std::atomic<int> made = 0;
  ReadAhead<int> items(3, counter(1 << 30, -1, &made));
  const auto expect_made = [&](int count) {
    for (int wait = 0; wait < 10'000 && made < count; ++wait) std::this_thread::sleep_for(1ms);
    std::this_thread::sleep_for(50ms);  // for one too many
    EXPECT_EQ(made, count);
  };
  expect_made(3);
  items.next();
  expect_made(4);
}

TEST(ReadAheadTest, IsDestroyedAtAnyTime) {
  for (int i = 0; i < 200; ++i) {
    const auto held = std::make_shared<int>(i);
    {
      ReadAhead<int> items(1 + i % 3,
                           [count = counter(i % 7 == 0 ? 1 : 1 << 30, i % 5 == 0 ? 2 : -1), held] {
                             return count();
                           });
      for (int k = 0; k < i % 2; ++k) EXPECT_EQ(items.next(), 0);
    }
    EXPECT_EQ(held.use_count(), 1) << "its thread lives on";
  }
}

TEST(ReadAheadTest, HandlesWhatCanOnlyBeMoved) {
  int next = 0;
  ReadAhead<std::unique_ptr<int>> items(2, [&] { return std::make_unique<int>(next++); });
  EXPECT_EQ(**items.next(), 0);
  EXPECT_EQ(**items.next(), 1);
}

TEST(ReadAheadTest, TakesNoSignals) {
  sigset_t blocked;
  ReadAhead<int> items(1, [&]() -> std::optional<int> {
    pthread_sigmask(SIG_SETMASK, nullptr, &blocked);
    return 1;
  });
  items.next();
  EXPECT_EQ(sigismember(&blocked, SIGUSR1), 1);
  sigset_t here;
  pthread_sigmask(SIG_SETMASK, nullptr, &here);
  EXPECT_EQ(sigismember(&here, SIGUSR1), 0);
}

}  // namespace
}  // namespace thaw
