#include "dist/coordination/unfreezing_coordinator.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/base/error.h"
#include "core/schedule/stage_plan.h"
#include "dist/communicator/in_process/in_process.h"
#include "tests/dist/communicator/communicator_contract.h"
#include "tests/dist/reduction/small_network.h"

namespace thaw {
namespace {

using ::testing::AllOf;
using ::testing::Each;
using ::testing::HasSubstr;
using testing_network::reduce_step;
using testing_network::relative_difference;
using testing_network::Samples;
using testing_network::Slice;
using testing_network::SmallNetwork;

const std::vector<std::string> kGroups = {"lower", "middle", "head"};

std::vector<ParameterFacts> facts_of(const SmallNetwork& network) {
  std::vector<ParameterFacts> facts;
  for (std::size_t i = 0; i < network.parameters.size(); ++i) {
    const NamedTensor& parameter = network.parameters[i];
    facts.push_back(
        {parameter.name, parameter.tensor.sizes().vec(), ElementType::kFloat64, i / 2, i % 2 == 0});
  }
  return facts;
}

Stage stage_of(const std::string& name, std::vector<std::string> groups) {
  Stage stage;
  stage.name = name;
  stage.learning_rates.assign(groups.size(), 0.1);
  stage.groups = std::move(groups);
  return stage;
}

/// Thaws, re-freezes and re-orders: parameters [first, last) of the network are active.
struct Step {
  std::vector<std::string> groups;
  std::size_t first, last;
};
const std::vector<Step> kSchedule = {
    {{"head"}, 4, 6}, {{"middle", "head"}, 2, 6}, {{"lower", "middle", "head"}, 0, 6},
    {{}, 0, 0},       {{"lower"}, 0, 2},          {{"middle", "head"}, 2, 6}};

TEST(UnfreezingCoordinator, TrainsAScheduleAsOneProcessWould) {
  const std::int64_t total = 13;
  const Samples samples(total, at::kDouble);
  SmallNetwork alone;
  for (const Step& step : kSchedule) {
    alone.activate(step.first, step.last);
    for (int i = 0; i < 5 && step.last > 0; ++i) {
      for (NamedTensor& parameter : alone.parameters) parameter.tensor.mutable_grad().reset();
      testing_network::loss_of(alone, samples, 0, total, total).backward();
      alone.descend(0.1);
    }
  }
  for (const int ranks : {1, 2, 3, 4}) {
    run_ranks(ranks, [&](Communicator& communicator) {
      const auto coordinator = make_unfreezing_coordinator(communicator, {{.cap_bytes = 200}, {}});
      SmallNetwork network;
      std::unique_ptr<GradientReducer> reducer;
      for (const Step& step : kSchedule) {
        network.activate(step.first, step.last);
        reducer.reset();
        reducer = coordinator->enter(
            make_stage_plan(kGroups, facts_of(network), stage_of("s", step.groups)),
            network.parameters);
        for (int i = 0; i < 5 && step.last > 0; ++i) {
          reduce_step(*reducer, network, samples, {total, communicator.rank(), ranks}, 2);
          network.descend(0.1);
        }
      }
      for (std::size_t i = 0; i < 6; ++i) {
        EXPECT_LE(relative_difference(network.parameters[i].tensor, alone.parameters[i].tensor),
                  1e-12);
        contract::expect_same_bits(communicator, network.parameters[i].tensor);
      }
    });
  }
}

// Whether steps may be CUDA graphs hangs on what the reducer of the stage says.
TEST(UnfreezingCoordinator, HandsOnWhetherAReducerRepeatsItself) {
  for (const int ranks : {1, 2}) {
    run_ranks(ranks, [&](Communicator& communicator) {
      const auto coordinator = make_unfreezing_coordinator(communicator, {});
      SmallNetwork network;
      network.activate(4, 6);
      const auto reducer = coordinator->enter(
          make_stage_plan(kGroups, facts_of(network), stage_of("s", {"head"})), network.parameters);
      EXPECT_EQ(reducer->repeats_itself(), ranks == 1);  // sums on the host wait for it
    });
  }
}

TEST(UnfreezingCoordinator, TakesWhatWasPreparedForAnEqualPlanOnly) {
  run_ranks(2, [&](Communicator& communicator) {
    const auto coordinator = make_unfreezing_coordinator(communicator, {{.cap_bytes = 200}, {}});
    SmallNetwork network;
    const auto plan_of = [&](std::vector<std::string> groups) {
      return make_stage_plan(kGroups, facts_of(network), stage_of("s", std::move(groups)));
    };
    network.activate(4, 6);
    auto reducer = coordinator->enter(plan_of({"head"}), network.parameters);
    EXPECT_FALSE(coordinator->costs().prepared);

    coordinator->prepare(plan_of({"middle", "head"}), network.parameters);
    coordinator->prepare(plan_of({"lower", "middle", "head"}), network.parameters);
    const Samples samples(5, at::kDouble);
    reduce_step(*reducer, network, samples, {5, communicator.rank(), 2}, 100);
    reducer.reset();
    network.activate(0, 6);
    reducer = coordinator->enter(plan_of({"lower", "middle", "head"}), network.parameters);
    EXPECT_TRUE(coordinator->costs().prepared);
    reduce_step(*reducer, network, samples, {5, communicator.rank(), 2}, 100);
    SmallNetwork alone;
    alone.activate(0, 6);
    testing_network::loss_of(alone, samples, 0, 5, 5).backward();
    for (std::size_t i = 0; i < 6; ++i) {
      EXPECT_LE(relative_difference(network.parameters[i].tensor.grad(),
                                    alone.parameters[i].tensor.grad()),
                1e-12);
    }

    coordinator->prepare(plan_of({"head"}), network.parameters);
    reducer.reset();
    network.activate(2, 6);
    reducer = coordinator->enter(plan_of({"middle", "head"}), network.parameters);
    EXPECT_FALSE(coordinator->costs().prepared);
  });
}

TEST(UnfreezingCoordinator, LeavesNoGradientOfTheStageBefore) {
  run_ranks(2, [](Communicator& communicator) {
    const auto coordinator = make_unfreezing_coordinator(communicator, {});
    const Samples samples(4, at::kDouble);
    SmallNetwork network;
    network.activate(0, 6);
    const auto enter = [&](std::vector<std::string> groups) {
      return coordinator->enter(
          make_stage_plan(kGroups, facts_of(network), stage_of("s", std::move(groups))),
          network.parameters);
    };
    auto reducer = enter(kGroups);
    EXPECT_EQ(coordinator->costs().buckets, 1u);
    EXPECT_GE(coordinator->costs().gradient_bytes, 8 * (35 + 7 + 42 + 6 + 18 + 3));
    reduce_step(*reducer, network, samples, {4, communicator.rank(), 2}, 100);
    reducer.reset();
    network.activate(4, 6);
    reducer = enter({"head"});
    for (const NamedTensor& parameter : network.parameters) {
      EXPECT_FALSE(parameter.tensor.grad().defined());
    }
    EXPECT_LT(coordinator->costs().gradient_bytes, 8 * 42);
  });
}

/// What all ranks throw on entering, each with its own stage and network.
template <typename Expected>
std::vector<std::string> refusals(const std::function<Stage(int)>& stage,
                                  const std::function<void(int, SmallNetwork&)>& change) {
  std::vector<std::string> messages(3);
  run_ranks(3, [&](Communicator& communicator) {
    const int rank = communicator.rank();
    const auto coordinator = make_unfreezing_coordinator(communicator, {});
    SmallNetwork network;
    change(rank, network);
    network.activate(2, 6);
    try {
      coordinator->enter(make_stage_plan(kGroups, facts_of(network), stage(rank)),
                         network.parameters);
      messages[static_cast<std::size_t>(rank)] = "no error";
    } catch (const Expected& error) {
      EXPECT_TRUE(error.agreed());
      messages[static_cast<std::size_t>(rank)] = error.what();
    }
    communicator.barrier();
  });
  return messages;
}

const auto kSameNetwork = [](int, SmallNetwork&) {};
const auto kSameStage = [](int) { return stage_of("upper", {"middle", "head"}); };

TEST(UnfreezingCoordinator, SaysWhichLearningRateDiffers) {
  const auto messages = refusals<DisagreementError>(
      [](int rank) {
        Stage stage = kSameStage(rank);
        if (rank == 1) stage.learning_rates[1] = 0.01;
        return stage;
      },
      kSameNetwork);
  EXPECT_THAT(messages, Each(AllOf(HasSubstr("different plans of stage \"upper\""),
                                   HasSubstr("head.weight: learning rate 0.1 on ranks 0, 2; 0.01 "
                                             "on rank 1"))));
}

TEST(UnfreezingCoordinator, SaysWhichStageDiffers) {
  const auto messages = refusals<DisagreementError>(
      [](int rank) {
        return rank == 2 ? stage_of("other", {"middle", "head"}) : kSameStage(rank);
      },
      kSameNetwork);
  EXPECT_THAT(messages, Each(HasSubstr("stage: upper on ranks 0, 1; other on rank 2")));
}

TEST(UnfreezingCoordinator, SaysWhichShapeDiffers) {
  const auto messages =
      refusals<DisagreementError>(kSameStage, [](int rank, SmallNetwork& network) {
        if (rank == 0) network.parameters[4].tensor = at::randn({4, 6}, at::kDouble);
      });
  EXPECT_THAT(messages,
              Each(HasSubstr("head.weight: shape [4, 6] on rank 0; [3, 6] on ranks 1, 2")));
}

TEST(UnfreezingCoordinator, SaysWhichParameterIsMissing) {
  const auto messages =
      refusals<DisagreementError>(kSameStage, [](int rank, SmallNetwork& network) {
        if (rank == 1) network.parameters.pop_back();
      });
  EXPECT_THAT(messages, Each(HasSubstr("head.bias: is missing on rank 1")));
}

TEST(UnfreezingCoordinator, TellsAFailureOnOneRankToAll) {
  const auto messages = refusals<InputError>(kSameStage, [](int rank, SmallNetwork& network) {
    // The facts above are told from these tensors, so plan and network agree; the type does not.
    if (rank == 1) network.parameters[4].tensor = network.parameters[4].tensor.to(at::kFloat);
  });
  EXPECT_THAT(messages, Each(AllOf(HasSubstr("on rank 1 (host "), HasSubstr("\"head.weight\""))));
}

TEST(UnfreezingCoordinator, RefusesTwoReducersAtOnce) {
  run_ranks(2, [](Communicator& communicator) {
    const auto coordinator = make_unfreezing_coordinator(communicator, {});
    SmallNetwork network;
    network.activate(0, 6);
    const StagePlan plan = make_stage_plan(kGroups, facts_of(network), stage_of("all", kGroups));
    auto reducer = coordinator->enter(plan, network.parameters);
    EXPECT_THROW(coordinator->enter(plan, network.parameters), RunError);
    reducer.reset();
    reducer = coordinator->enter(plan, network.parameters);
  });
}

}  // namespace
}  // namespace thaw
