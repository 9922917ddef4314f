// What ranks that differ come to: see Note [Ways of a step].
#include <gtest/gtest.h>

#include <vector>

#include "core/parallel/communicator.h"
#include "core/step/step_agreement.h"
#include "dist/communicator/in_process/in_process.h"

namespace thaw {
namespace {

/// Of ranks that could do `choices`, one each.
StepWay way_of(const std::vector<StepChoice>& choices) {
  std::vector<StepWay> ways(choices.size());
  run_ranks(static_cast<int>(choices.size()), [&](Communicator& communicator) {
    const auto rank = static_cast<std::size_t>(communicator.rank());
    ways[rank] = agree_on_step({.choice = choices[rank]}, communicator).way;
  });
  for (const StepWay way : ways) EXPECT_EQ(way, ways[0]);
  return ways[0];
}

StepChoice replays(std::int64_t graph) { return {.way = StepWay::kReplay, .graph = graph}; }

TEST(StepAgreement, IsTheMostCautiousWay) {
  const StepChoice queues{.way = StepWay::kQueue}, records{.way = StepWay::kRecord};
  EXPECT_EQ(way_of({queues}), StepWay::kQueue);
  EXPECT_EQ(way_of({records, records}), StepWay::kRecord);
  EXPECT_EQ(way_of({records, replays(3), records}), StepWay::kRecord);
  EXPECT_EQ(way_of({replays(3), queues, records}), StepWay::kQueue);
}

TEST(StepAgreement, IsTheSameGraphOrNone) {
  EXPECT_EQ(way_of({replays(7)}), StepWay::kReplay);
  EXPECT_EQ(way_of({replays(0), replays(0)}), StepWay::kReplay);
  EXPECT_EQ(way_of({replays(7), replays(7), replays(7)}), StepWay::kReplay);
  EXPECT_EQ(way_of({replays(7), replays(8)}), StepWay::kQueue);
  EXPECT_EQ(way_of({replays(1), replays(2), replays(3)}), StepWay::kQueue);
  EXPECT_EQ(way_of({replays(0), replays(0), replays(0), replays(1)}), StepWay::kQueue);
}

}  // namespace
}  // namespace thaw
