// What PyTorch's DistributedDataParallel gets wrong or leaves to its user, and misuse.
#include <ATen/ops/zeros.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/nn/module.h>

#include <optional>

#include "dist/communicator/in_process/in_process.h"
#include "tests/core/parallel/agreed_errors.h"
#include "tests/dist/communicator/communicator_contract.h"
#include "tests/dist/data_parallel/own_loop.h"

namespace thaw {
namespace {

using ::testing::AllOf;
using ::testing::Each;
using ::testing::HasSubstr;
using namespace testing_network;  // NOLINT(google-build-using-namespace)

/// Builds a DataParallel after `change` on rank 1.
std::vector<std::string> construction_errors(const std::function<void(SmallNetwork&)>& change) {
  return agreed_errors<DisagreementError>(3, [&](Communicator& communicator) {
    SmallNetwork network;
    if (communicator.rank() == 1) change(network);
    const DataParallel parallel(communicator, network.parameters);
  });
}

TEST(DataParallelBuild, RefusesAnotherOrderOnOneRank) {
  const auto messages = construction_errors(
      [](SmallNetwork& network) { std::swap(network.parameters[2], network.parameters[4]); });
  EXPECT_THAT(messages, Each(AllOf(HasSubstr("ranks hold different parameters and buffers"),
                                   HasSubstr("tensor before it"), HasSubstr("on rank 1"))));
}

TEST(DataParallelBuild, RefusesOtherNamesShapesAndTypes) {
  EXPECT_THAT(construction_errors(
                  [](SmallNetwork& network) { network.parameters[5].name = "head.offset"; }),
              Each(HasSubstr("head.offset: is missing on ranks 0, 2")));
  EXPECT_THAT(construction_errors([](SmallNetwork& network) {
                network.parameters[5].tensor = at::zeros({4}, at::kDouble);
              }),
              Each(HasSubstr("head.bias: shape [3] on ranks 0, 2; [4] on rank 1")));
  EXPECT_THAT(construction_errors([](SmallNetwork& network) {
                network.parameters[5].tensor = network.parameters[5].tensor.to(at::kFloat);
              }),
              Each(HasSubstr("head.bias: type Double on ranks 0, 2; Float on rank 1")));
}

TEST(DataParallelBuild, RefusesOtherParametersThatRequireAGradient) {
  EXPECT_THAT(construction_errors([](SmallNetwork& network) {
                network.parameters[0].tensor.set_requires_grad(true);
              }),
              Each(HasSubstr("lower.weight: is missing on ranks 0, 2")));
}

TEST(DataParallelActivate, RefusesOtherSetsOnOneRank) {
  const auto messages = agreed_errors<DisagreementError>(3, [](Communicator& communicator) {
    SmallNetwork network;
    DataParallel parallel(communicator, network.parameters);
    parallel.activate({"head"});
    if (communicator.rank() == 2) {
      parallel.activate({"head", "middle.bias"});
    } else {
      parallel.activate({"head"});
    }
  });
  EXPECT_THAT(messages, Each(HasSubstr("middle.bias: is missing on ranks 0, 1")));
}

TEST(DataParallelActivate, RefusesNamesThatMatchNothing) {
  const auto messages = agreed_errors<InputError>(2, [](Communicator& communicator) {
    SmallNetwork network;
    DataParallel(communicator, network.parameters).activate({"head", "midle"});
  });
  EXPECT_THAT(messages, Each(HasSubstr("\"midle\" matches no parameter and no module; did you mean "
                                       "\"middle\"?")));
}

TEST(DataParallelActivate, RefusesAnAccumulationAndAnAnnouncedStep) {
  for (const bool announced : {false, true}) {
    const auto messages = agreed_errors<RunError>(2, [&](Communicator& communicator) {
      SmallNetwork network;
      DataParallel parallel(communicator, network.parameters);
      std::optional<DataParallel::Accumulation> scope;
      if (announced) {
        parallel.begin(1);
      } else {
        scope.emplace(parallel.accumulate());
        EXPECT_THROW(parallel.finish(1), RunError);
      }
      parallel.activate({"head"});
    });
    EXPECT_THAT(messages,
                Each(HasSubstr(announced ? "between begin and finish" : "within an accumulation")));
  }
}

TEST(DataParallelActivate, WorksAgainAfterARefusal) {
  run_ranks(2, [](Communicator& communicator) {
    const Samples samples(4, at::kDouble);
    SmallNetwork network;
    DataParallel parallel(communicator, network.parameters);
    EXPECT_THROW(parallel.activate({"nothing"}), InputError);
    parallel.activate({"head"});
    EXPECT_EQ(own_step(parallel, network, samples, {4, communicator.rank(), 2}, {}), 4);
  });
}

/// Steps before and after `meddle`, where parameters from 2 on are active.
std::vector<std::string> mismatches(const std::function<void(SmallNetwork&)>& meddle, int meddler) {
  return agreed_errors<ReductionMismatch>(3, [&](Communicator& communicator) {
    const Samples samples(6, at::kDouble);
    const Slice slice(6, communicator.rank(), 3);
    SmallNetwork network;
    DataParallel parallel(communicator, network.parameters, {}, small_buckets());
    parallel.activate({"middle", "head"});
    own_step(parallel, network, samples, slice, {});
    if (meddler < 0 || communicator.rank() == meddler) meddle(network);
    own_step(parallel, network, samples, slice, {});
  });
}

// DDP trains such a parameter on each rank's own gradients, silently.
TEST(DdpPitfalls, AThawBehindItsBackIsNoticed) {
  const auto thaw = [](SmallNetwork& network) {
    network.parameters[0].tensor.set_requires_grad(true);
  };
  EXPECT_THAT(mismatches(thaw, -1), Each(HasSubstr("\"lower.weight\" is not active")));
  EXPECT_THAT(mismatches(thaw, 1), Each(AllOf(HasSubstr("on rank 1"), HasSubstr("lower.weight"))));
}

// DDP waits for its gradient for ever, or goes on with old ones.
TEST(DdpPitfalls, AFreezeBehindItsBackIsNoticed) {
  const auto freeze = [](SmallNetwork& network) {
    network.parameters[4].tensor.set_requires_grad(false);
  };
  EXPECT_THAT(mismatches(freeze, -1), Each(HasSubstr("\"head.weight\" is active")));
}

/// A parameter under two names, which is used twice: as a matrix and as its transpose.
struct TiedModule : torch::nn::Module {
  TiedModule() {
    inner = register_module("inner", std::make_shared<torch::nn::Module>());
    weight = register_parameter("weight", at::arange(9, at::kDouble).view({3, 3}).mul(0.1));
    inner->register_parameter("weight", weight);
    bias = register_parameter("bias", at::zeros({3}, at::kDouble));
  }
  at::Tensor loss(const at::Tensor& input) const {
    const at::Tensor hidden = at::tanh(at::linear(input, weight, bias));
    return at::mse_loss(at::linear(hidden, weight.t()), input);
  }
  std::shared_ptr<torch::nn::Module> inner;
  at::Tensor weight, bias;
};

TEST(DdpPitfalls, ATiedParameterThatIsUsedTwiceIsReducedOnce) {
  const at::Tensor inputs = at::arange(15, at::kDouble).view({5, 3}).sin();
  TiedModule alone;
  alone.loss(inputs).backward();
  for (const bool announced : {false, true}) {
    run_ranks(2, [&](Communicator& communicator) {
      TiedModule module;
      DataParallel parallel(communicator, module, small_buckets(Overlap::kOn));
      EXPECT_EQ(parallel.active_parameters().size(), 2U);
      const Slice slice(5, communicator.rank(), 2);
      if (announced) parallel.begin(slice.last - slice.first);
      module.loss(inputs.slice(0, slice.first, slice.last)).backward();
      parallel.finish(slice.last - slice.first);
      EXPECT_LE(relative_difference(module.weight.grad(), alone.weight.grad()), 1e-12);
      EXPECT_EQ(parallel.counters().payload_bytes, 12 * 8);
    });
  }
}

TEST(DdpPitfalls, ATiedParameterCannotBeSplit) {
  const auto messages = agreed_errors<InputError>(2, [](Communicator& communicator) {
    TiedModule module;
    DataParallel(communicator, module).activate({"inner", "bias"});
  });
  EXPECT_THAT(messages, Each(AllOf(HasSubstr("\"weight\" and \"inner.weight\" are one tensor"),
                                   HasSubstr("name only \"inner.weight\""))));
}

TEST(DdpPitfalls, ABucketMayBeLargerThanTheCap) {
  run_ranks(2, [](Communicator& communicator) {
    const Samples samples(5, at::kDouble);
    SmallNetwork network, alone;
    network.activate(0, 6);
    alone.activate(0, 6);
    DataParallel parallel(communicator, network.parameters, {}, {{.cap_bytes = 8}, Overlap::kOn});
    EXPECT_EQ(parallel.counters().collectives, 6);
    own_step(parallel, network, samples, {5, communicator.rank(), 2}, {.announces = true});
    lone_step(alone, samples);
    for (std::size_t i = 0; i < 6; ++i) {
      EXPECT_LE(relative_difference(network.parameters[i].tensor.grad(),
                                    alone.parameters[i].tensor.grad()),
                1e-12);
    }
  });
}

TEST(DataParallelUse, SeveralBackwardsAddUpUntilFinish) {
  for (const bool begins : {false, true}) {
    run_ranks(2, [&](Communicator& communicator) {
      const Samples samples(4, at::kDouble);
      SmallNetwork network, alone;
      network.activate(0, 6);
      alone.activate(0, 6);
      DataParallel parallel(communicator, network.parameters, {}, small_buckets(Overlap::kOn));
      if (begins) parallel.begin(communicator.rank() + 1);
      own_loss(network, samples, 0, 1, 4).backward();
      own_loss(network, samples, 1, 4, 4).backward();
      parallel.finish(communicator.rank() + 1);  // both ranks hold the same gradients
      lone_step(alone, samples);
      EXPECT_LE(relative_difference(network.parameters[0].tensor.grad(),
                                    alone.parameters[0].tensor.grad()),
                1e-12);
    });
  }
}

TEST(DataParallelUse, RefusesNumbersThatMakeNoSense) {
  run_ranks(1, [](Communicator& communicator) {
    SmallNetwork network;
    DataParallel parallel(communicator, network.parameters);
    EXPECT_THROW(parallel.finish(), RunError);
    EXPECT_THROW(parallel.finish(-1), RunError);
    EXPECT_THROW(parallel.begin(-1), RunError);
    parallel.begin(3);
    EXPECT_THROW(parallel.begin(3), RunError);
    EXPECT_THROW(parallel.finish(4), RunError);
    EXPECT_EQ(parallel.finish(3), 3);  // nothing is active
  });
  const auto messages = agreed_errors<RunError>(2, [](Communicator& communicator) {
    SmallNetwork network;
    DataParallel(communicator, network.parameters).finish(0);
  });
  EXPECT_THAT(messages, Each(HasSubstr("no rank had any samples")));
}

TEST(DataParallelLoad, ChangesNothingWhereTheStateDoesNotFit) {
  const auto messages = agreed_errors<InputError>(2, [](Communicator& communicator) {
    SmallNetwork network;
    DataParallel parallel(communicator, network.parameters);
    DataParallelState state = parallel.state();
    for (auto& entry : state.tensors) entry.second = entry.second.clone().fill_(9);
    state.tensors.at("head.bias") = at::zeros({4}, at::kDouble);
    const at::Tensor before = network.parameters[0].tensor.clone();
    try {
      parallel.load(state);
    } catch (const InputError&) {
      EXPECT_TRUE(network.parameters[0].tensor.equal(before));
      throw;
    }
  });
  EXPECT_THAT(messages, Each(HasSubstr("\"head.bias\" is float64 [4] on cpu, but the module's is "
                                       "float64 [3] on cpu")));
}

}  // namespace
}  // namespace thaw
