#include "core/parallel/step_monitor.h"

#include <ATen/ops/ones.h>
#include <gtest/gtest.h>

#include <thread>

#include "core/parallel/one_rank.h"
#include "dist/communicator/in_process/in_process.h"
#include "dist/communicator/watched_communicator.h"
#include "tests/dist/communicator/communicator_contract.h"

namespace thaw {
namespace {

TEST(StepMonitor, TellsWhereTheRankIs) {
  StepMonitor monitor;
  EXPECT_EQ(monitor.place().phase, RankPhase::kStartUp);
  EXPECT_FALSE(monitor.place().waits);

  monitor.stage("upper");
  EXPECT_EQ(monitor.place().phase, RankPhase::kTransition);
  monitor.step(12);
  monitor.phase(RankPhase::kCompute);
  monitor.bucket(3);
  const RankPlace place = monitor.place();
  EXPECT_EQ(place.stage, "upper");
  EXPECT_EQ(place.step, 12);
  EXPECT_EQ(place.phase, RankPhase::kCompute);
  EXPECT_EQ(place.bucket, 3);
  EXPECT_FALSE(place.waits);

  monitor.step(13);
  EXPECT_EQ(monitor.place().bucket, -1) << "buckets are of one step";
  monitor.phase(RankPhase::kReduction);
  EXPECT_TRUE(monitor.place().waits);
}

TEST(StepMonitor, CountsPlacesAlikeAndProgressAlways) {
  StepMonitor monitor;
  monitor.step(1);
  const std::uint64_t order = monitor.place().order;
  std::uint64_t progress = monitor.progress();
  const auto moved = [&] { return std::exchange(progress, monitor.progress()) != progress; };
  monitor.bucket(0);
  EXPECT_TRUE(moved());
  monitor.tick();
  EXPECT_TRUE(moved());
  {
    const StepMonitor::Collective sum(monitor, CollectiveKind::kSum, 64);
    EXPECT_TRUE(moved());
    EXPECT_TRUE(monitor.place().waits);
    EXPECT_EQ(monitor.place().call, CollectiveKind::kSum);
    EXPECT_EQ(monitor.place().call_bytes, 64U);
  }
  EXPECT_TRUE(moved());
  EXPECT_FALSE(moved());
  EXPECT_FALSE(monitor.place().waits);
  EXPECT_EQ(monitor.place().order, order) << "ranks may differ in all this";
  monitor.phase(RankPhase::kUpdate);
  EXPECT_EQ(monitor.place().order, order + 1);
}

TEST(StepMonitor, WaitingOfAHelperIsNotTheRanks) {
  StepMonitor monitor;
  monitor.phase(RankPhase::kCompute);
  const std::uint64_t progress = monitor.progress();
  std::thread([&] {
    const StepMonitor::Collective sum(monitor, CollectiveKind::kSum, 64);
    EXPECT_FALSE(monitor.place().waits);
  }).join();
  EXPECT_NE(monitor.progress(), progress);
}

TEST(WatchedCommunicator, KeepsTheContract) {
  const auto alone = make_self_communicator();
  StepMonitor monitor;
  contract::whole_contract(*make_watched_communicator(*alone, monitor));
  run_ranks(3, [](Communicator& communicator) {
    StepMonitor own;
    contract::whole_contract(*make_watched_communicator(communicator, own));
  });
}

TEST(WatchedCommunicator, NotesWaitingAlsoInWhatIsSplitOff) {
  StepMonitor first;  // made by this thread, read by rank 1 while rank 0 waits
  std::atomic<StepMonitor*> waiting = nullptr;
  run_ranks(2, [&](Communicator& communicator) {
    StepMonitor monitor;
    const auto watched = make_watched_communicator(communicator, monitor);
    const auto part = watched->split(0);
    at::Tensor ones = at::ones({16});
    if (communicator.rank() == 0) {
      waiting = &monitor;
    } else {
      while (waiting == nullptr || !waiting.load()->place().waits) std::this_thread::yield();
      EXPECT_EQ(waiting.load()->place().call, CollectiveKind::kSum);
      EXPECT_EQ(waiting.load()->place().call_bytes, 64U);
    }
    part->all_reduce(ones);
    EXPECT_FALSE(monitor.place().waits);
    communicator.barrier();
  });
}

}  // namespace
}  // namespace thaw
