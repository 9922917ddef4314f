// What ranks that differ come to: see Note [Ways of a step].
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <span>
#include <string>
#include <utility>
#include <vector>

#include "core/base/error.h"
#include "core/parallel/communicator.h"
#include "core/parallel/gradient_reducer.h"
#include "core/step/step_agreement.h"
#include "dist/communicator/in_process/in_process.h"
#include "dist/reduction/reduction_fault.h"
#include "dist/reduction/sharding/sliced_reducer.h"
#include "tests/core/parallel/agreed_errors.h"
#include "tests/dist/reduction/small_network.h"
#include "tests/support/counting_communicator.h"

namespace thaw {
namespace {

using testing::AllOf;
using testing::Each;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

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
  void finish() override {
    if (!breaks_with.empty()) throw RunError(breaks_with);
    flags = sum_flags({1, fault.empty() ? 0.0 : 1.0}, std::exchange(along_, {}), communicator_);
    if (flags[1] > 0) agree_on_fault(communicator_, fault);
  }
  ReductionCounters counters() const override { return {}; }
  std::string breaks_with;  ///< what becomes of this rank before it sums anything
  std::string fault;        ///< what is wrong with its gradients
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

TEST(StepAgreement, ThrowsWhatTheReducerAgreedOn) {
  for (const bool takes : {true, false}) {
    const auto messages = agreed_errors<ReductionMismatch>(3, [&](Communicator& communicator) {
      FlagsAlone reducer(communicator, takes);
      if (communicator.rank() == 1) reducer.fault = "a gradient too many";
      agree_on_step({.stop = StopReason::kSignal, .reducer = &reducer}, communicator);
    });
    EXPECT_THAT(messages, Each(AllOf(HasSubstr("on rank 1 "), HasSubstr("a gradient too many"))));
  }
}

/// One that is no stand-in: it takes them along on the host, too.
TEST(StepAgreement, ThrowsWhatSlicedSumsFind) {
  const auto messages = agreed_errors<ReductionMismatch>(3, [](Communicator& communicator) {
    const testing_network::Samples samples(6, at::kDouble);
    testing_network::SmallNetwork network;
    network.activate(2, 6);
    const auto reducer = make_sliced_reducer(communicator, network.active, network.frozen,
                                             {.sharding = Sharding::kOptimizer});
    if (communicator.rank() == 1) network.parameters[1].tensor.set_requires_grad(true);
    reducer->begin({2, 6});
    reducer->last_backward();
    const std::int64_t first = 2 * communicator.rank();
    testing_network::loss_of(network, samples, first, first + 2, 6).backward();
    agree_on_step({.ready = communicator.rank() != 2, .reducer = reducer.get()}, communicator);
  });
  EXPECT_THAT(messages, Each(AllOf(HasSubstr("on rank 1 "), HasSubstr("lower.bias"))));
}

/// As where its GPU fails: nothing is agreed on, and nobody waits for it.
TEST(StepAgreement, ThrowsWhatAReducerFailsByAlone) {
  for (const bool takes : {true, false}) {
    std::vector<std::string> said(3);
    try {
      run_ranks(3, [&](Communicator& communicator) {
        FlagsAlone reducer(communicator, takes);
        if (communicator.rank() == 1) reducer.breaks_with = "its GPU does not answer";
        try {
          agree_on_step({.reducer = &reducer}, communicator);
        } catch (const RunError& error) {
          said[static_cast<std::size_t>(communicator.rank())] = error.what();
          throw;
        }
      });
      FAIL() << "no error";
    } catch (const RunError& error) {
      EXPECT_THAT(error.what(), HasSubstr("its GPU does not answer"));
    }
    EXPECT_THAT(said[1], HasSubstr("its GPU does not answer"));
    EXPECT_THAT(said, Each(Not(IsEmpty())));
  }
}

}  // namespace
}  // namespace thaw
