// What ranks that differ come to: see Note [Ways of a step].
#include <gtest/gtest.h>

#include <span>
#include <utility>
#include <vector>

#include "core/parallel/communicator.h"
#include "core/parallel/gradient_reducer.h"
#include "core/step/step_agreement.h"
#include "dist/communicator/in_process/in_process.h"
#include "dist/reduction/reduction_fault.h"
#include "tests/support/counting_communicator.h"

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

/// Sums flags of its own, as on a GPU, and what it is given along with them; or takes nothing.
class FlagsAlone final : public GradientReducer {
 public:
  FlagsAlone(Communicator& communicator, bool takes) : communicator_(communicator), takes_(takes) {}
  void begin(SampleShare) override {}
  void last_backward() override {}
  bool take_along(std::span<double> numbers) override {
    if (takes_) along_ = numbers;
    return takes_;
  }
  void finish() override { flags = sum_flags({1, 0}, std::exchange(along_, {}), communicator_); }
  ReductionCounters counters() const override { return {}; }
  std::vector<double> flags;

 private:
  Communicator& communicator_;
  const bool takes_;
  std::span<double> along_;
};

TEST(StepAgreement, TakesNoSumOfItsOwnWhereOneIsMadeAnyway) {
  for (const bool takes : {true, false}) {
    run_ranks(3, [&](Communicator& communicator) {
      CountingCommunicator counting(communicator);
      FlagsAlone reducer(counting, takes);
      const bool stops = communicator.rank() == 1;
      const StepVerdict verdict =
          agree_on_step({.stop = stops ? StopReason::kSignal : StopReason::kNone,
                         .ready = communicator.rank() != 2,
                         .reducer = &reducer},
                        counting);
      EXPECT_EQ(verdict.stop, StopReason::kSignal);
      EXPECT_FALSE(verdict.all_ready);
      EXPECT_EQ(reducer.flags, (std::vector<double>{3, 0}));
      EXPECT_EQ(counting.sums, takes ? 1 : 2);
    });
  }
}

}  // namespace
}  // namespace thaw
