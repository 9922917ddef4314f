#include "dist/reduction/sending/step_senders.h"

#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <thread>
#include <vector>

#include "core/parallel/one_rank.h"
#include "dist/reduction/sending/bucket_sender.h"

namespace thaw {
namespace {

constexpr std::size_t kBuckets = 4;

TEST(StepSenders, KeepBucketsOfAGpuBehindABackwardWithSumsOfItsOwn) {
  const auto alone = make_self_communicator();
  StepSenders senders(*alone, /*on_gpu=*/true, make_blocking_sender(*alone));
  senders.plan(Overlap::kAuto, kBuckets);
  EXPECT_TRUE(senders.overlaps());
  senders.keep_behind_backward();
  EXPECT_FALSE(senders.overlaps());
  // Whatever the next buckets are, and whatever they are wanted for.
  senders.plan(Overlap::kOn, kBuckets);
  EXPECT_FALSE(senders.overlaps());
  senders.plan(Overlap::kOff, kBuckets, /*always=*/true);
  EXPECT_FALSE(senders.overlaps());
}

TEST(StepSenders, OfTheHostGoOnBesideIt) {
  const auto alone = make_self_communicator();
  StepSenders senders(*alone, /*on_gpu=*/false, make_blocking_sender(*alone));
  senders.plan(Overlap::kOff, kBuckets, /*always=*/true);
  senders.keep_behind_backward();
  EXPECT_TRUE(senders.overlaps());
}

/// What "auto" makes of `call`, which updates travel by: whether sums go beside backward all the
/// same (`always`, as of "gradients") does not matter to it.
TEST(StepSenders, CallBesideWhatComesNextOnlyWhereThatHidesIt) {
  constexpr int kTrial = 12;
  for (const bool always : {false, true}) {
    for (const bool hides : {false, true}) {
      const auto alone = make_self_communicator();
      StepSenders senders(*alone, /*on_gpu=*/false, make_blocking_sender(*alone));
      senders.plan(Overlap::kAuto, kBuckets, always);
      int tried = 0;
      for (int step = 0; step < kTrial + 3; ++step) {
        const std::int64_t number = senders.call([](Communicator&) {});
        const bool beside = number > 0;
        EXPECT_EQ(senders.overlaps(), always || beside);
        senders.wait_for(number);
        if (step < kTrial && beside) ++tried;
        if (step >= kTrial) {
          EXPECT_EQ(beside, hides) << "step " << step;
        }
        senders.learn(beside && hides ? 1.0 : 2.0);
      }
      EXPECT_EQ(tried, kTrial / 2);
    }
  }
}

/// Note [Who made it lets it go]: a trace of the thread that lets go of what was handed over.
TEST(HelperSender, LeavesItToItsOwnerToLetGo) {
  const auto alone = make_self_communicator();
  const auto helper = make_helper_sender(*alone);
  std::vector<std::thread::id> threads;
  const auto traced = [&] {
    return std::shared_ptr<int>(new int(0), [&](const int* value) {
      threads.push_back(std::this_thread::get_id());
      delete value;
    });
  };
  std::atomic<int> done = 0;
  for (int i = 0; i < 20; ++i) {
    helper->call([kept = traced(), &done](Communicator&) { ++done; });
    if (i % 3 == 0) helper->wait_for(i + 1);
  }
  helper->drain();
  EXPECT_EQ(done, 20);
  ASSERT_EQ(threads.size(), 20U) << "nothing is kept once the owner has heard that it is done";
  for (const std::thread::id& thread : threads) EXPECT_EQ(thread, std::this_thread::get_id());
}

}  // namespace
}  // namespace thaw
