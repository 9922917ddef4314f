#include "dist/reduction/sending/step_senders.h"

#include <gtest/gtest.h>

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

}  // namespace
}  // namespace thaw
