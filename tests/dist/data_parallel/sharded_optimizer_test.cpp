#include "dist/data_parallel/sharded_optimizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/nn/modules/activation.h>
#include <torch/nn/modules/container/sequential.h>
#include <torch/nn/modules/linear.h>
#include <torch/optim/lbfgs.h>

#include <memory>
#include <type_traits>
#include <utility>
#include <vector>

#include "core/base/error.h"
#include "dist/communicator/in_process/in_process.h"
#include "dist/data_parallel/data_parallel.h"
#include "tests/dist/communicator/communicator_contract.h"

/// As a user of the library has it, outside of it: Lion, whose updates are signs.
namespace somebody {

struct LionOptions : torch::optim::OptimizerCloneableOptions<LionOptions> {
  explicit LionOptions(double given) : rate(given) {}
  double rate;
};

struct LionState : torch::optim::OptimizerCloneableParamState<LionState> {
  at::Tensor mean;
};

class Lion final : public torch::optim::Optimizer {
 public:
  Lion(const std::vector<torch::optim::OptimizerParamGroup>& groups, const LionOptions& defaults)
      : Optimizer(groups, std::make_unique<LionOptions>(defaults)) {}
  Lion(std::vector<at::Tensor> parameters, const LionOptions& defaults)
      : Optimizer(std::move(parameters), std::make_unique<LionOptions>(defaults)) {}

  at::Tensor step(LossClosure = nullptr) override {
    const c10::AutoGradMode no_grad(false);
    for (torch::optim::OptimizerParamGroup& group : param_groups_) {
      const double rate = static_cast<const LionOptions&>(group.options()).rate;
      for (at::Tensor& parameter : group.params()) {
        const at::Tensor& grad = parameter.grad();
        if (!grad.defined()) continue;
        std::unique_ptr<torch::optim::OptimizerParamState>& state =
            state_[parameter.unsafeGetTensorImpl()];
        if (!state) {
          auto fresh = std::make_unique<LionState>();
          fresh->mean = torch::zeros_like(parameter);
          state = std::move(fresh);
        }
        at::Tensor& mean = static_cast<LionState&>(*state).mean;
        parameter.sub_(mean.mul(0.9).add_(grad, 0.1).sign_(), rate);
        mean.mul_(0.99).add_(grad, 0.01);
      }
    }
    return {};
  }
};

}  // namespace somebody

template <>
struct thaw::GoesByElements<somebody::Lion> : std::true_type {};

namespace thaw {
namespace {

using ::testing::HasSubstr;

/// The same values on every rank: what torch::manual_seed would not be, with ranks as threads.
torch::nn::Sequential make_net() {
  torch::nn::Sequential net(torch::nn::Linear(7, 40), torch::nn::Tanh(), torch::nn::Linear(40, 33),
                            torch::nn::Tanh(), torch::nn::Linear(33, 3));
  const c10::AutoGradMode no_grad(false);
  for (at::Tensor& parameter : net->parameters()) {
    parameter.copy_(torch::arange(parameter.numel()).mul(0.37).sin().mul(0.3).view_as(parameter));
  }
  return net;
}

at::Tensor inputs(int step, int rank, int ranks) {
  return torch::arange(4 * ranks * 7)
      .add(step)
      .mul(0.61)
      .cos()
      .view({4 * ranks, 7})
      .slice(0, 4 * rank, 4 * rank + 4);
}

/// Trains with layers that freeze and thaw; `Step` makes an update.
template <class Optimizer>
std::vector<at::Tensor> train(Communicator& communicator, Optimizer& optimizer,
                              torch::nn::Sequential& net) {
  DataParallel parallel(communicator, net);
  for (int step = 0; step < 12; ++step) {
    if (step == 0) parallel.activate({"4"});
    if (step == 4) parallel.activate({"2", "4"});
    if (step == 8) parallel.activate({"*"});
    optimizer.zero_grad();
    const at::Tensor input = inputs(step, communicator.rank(), communicator.size());
    parallel.forward(input).square().mean().backward();
    optimizer.step();
  }
  std::vector<at::Tensor> result;
  for (const at::Tensor& parameter : net->parameters()) result.push_back(parameter.detach());
  return result;
}

/// Beside the whole optimizer on the same number of ranks, whose gradients have the same bits.
template <class Base, class Options>
void expect_the_same_bits(const Options& options) {
  for (int ranks = 1; ranks <= 4; ++ranks) {
    run_ranks(ranks, [&](Communicator& communicator) {
      torch::nn::Sequential whole = make_net(), sharded = make_net();
      Base plain(whole->parameters(), options);
      const std::vector<at::Tensor> expected = train(communicator, plain, whole);
      ShardedOptimizer<Base> optimizer(communicator, sharded->parameters(), options);
      const std::vector<at::Tensor> found = train(communicator, optimizer, sharded);
      for (std::size_t i = 0; i < found.size(); ++i) {
        EXPECT_EQ(contract::bits_of(found[i].contiguous()),
                  contract::bits_of(expected[i].contiguous()))
            << ranks << " ranks, parameter " << i;
        contract::expect_same_bits(communicator, found[i].contiguous());
      }
    });
  }
}

TEST(ShardedOptimizer, HasTheBitsOfTheWhole) {
  expect_the_same_bits<torch::optim::AdamW>(torch::optim::AdamWOptions(1e-2).weight_decay(0.1));
  expect_the_same_bits<torch::optim::Adam>(torch::optim::AdamOptions(1e-2).amsgrad(true));
  expect_the_same_bits<torch::optim::SGD>(torch::optim::SGDOptions(1e-1).momentum(0.9));
  expect_the_same_bits<torch::optim::RMSprop>(torch::optim::RMSpropOptions(1e-2).centered(true));
  expect_the_same_bits<torch::optim::Adagrad>(torch::optim::AdagradOptions(1e-2));
}

/// What refuses one that does not say so is tests/dist/data_parallel/CMakeLists.txt.
TEST(ShardedOptimizer, TakesOneOfSomebodysOwnThatGoesByElements) {
  static_assert(!GoesByElements<torch::optim::LBFGS>::value);
  expect_the_same_bits<somebody::Lion>(somebody::LionOptions(1e-2));
}

/// Trains on four ranks; `moment_of` is what a parameter's state keeps.
template <class Base, class Options, class MomentOf>
void expect_a_slice_of_the_state(const Options& options, const MomentOf& moment_of) {
  run_ranks(4, [&](Communicator& communicator) {
    torch::nn::Sequential net = make_net();
    ShardedOptimizer<Base> optimizer(communicator, net->parameters(), options);
    train(communicator, optimizer, net);
    std::int64_t elements = 0, whole = 0;
    for (const auto& [_, state] : optimizer.local().state()) {
      elements += moment_of(*state).numel();
    }
    for (const at::Tensor& parameter : net->parameters()) whole += parameter.numel();
    EXPECT_LE(elements, whole / 2);
    std::vector<double> all = {static_cast<double>(elements)};
    communicator.all_reduce(all);
    EXPECT_EQ(all[0], static_cast<double>(whole));
  });
}

TEST(ShardedOptimizer, KeepsASliceOfTheState) {
  using State = torch::optim::OptimizerParamState;
  expect_a_slice_of_the_state<torch::optim::AdamW>(
      torch::optim::AdamWOptions(1e-2), [](const State& state) {
        return static_cast<const torch::optim::AdamWParamState&>(state).exp_avg();
      });
  expect_a_slice_of_the_state<somebody::Lion>(somebody::LionOptions(1e-2), [](const State& state) {
    return static_cast<const somebody::LionState&>(state).mean;
  });
}

TEST(ShardedOptimizer, TakesGroupsWithOptionsOfTheirOwn) {
  run_ranks(2, [](Communicator& communicator) {
    const auto groups_of = [](torch::nn::Sequential& net) {
      std::vector<at::Tensor> all = net->parameters();
      const auto half = static_cast<std::ptrdiff_t>(all.size() / 2);
      std::vector<torch::optim::OptimizerParamGroup> groups;
      groups.emplace_back(std::vector<at::Tensor>(all.begin(), all.begin() + half));
      groups.emplace_back(std::vector<at::Tensor>(all.begin() + half, all.end()),
                          std::make_unique<torch::optim::SGDOptions>(1e-3));
      return groups;
    };
    torch::nn::Sequential whole = make_net(), sharded = make_net();
    torch::optim::SGD plain(groups_of(whole), torch::optim::SGDOptions(1e-1));
    const std::vector<at::Tensor> expected = train(communicator, plain, whole);
    ShardedOptimizer<torch::optim::SGD> optimizer(communicator, groups_of(sharded),
                                                  torch::optim::SGDOptions(1e-1));
    const std::vector<at::Tensor> found = train(communicator, optimizer, sharded);
    for (std::size_t i = 0; i < found.size(); ++i) EXPECT_TRUE(found[i].equal(expected[i])) << i;
  });
}

TEST(ShardedOptimizer, NamesWhatItCannotCut) {
  run_ranks(2, [](Communicator& communicator) {
    const std::vector<at::Tensor> parameters = {
        torch::ones({4}), torch::ones({4, 3}).t().detach().set_requires_grad(true)};
    try {
      const ShardedOptimizer<torch::optim::SGD> optimizer(communicator, parameters,
                                                          torch::optim::SGDOptions(1e-1));
      ADD_FAILURE() << "no error";
    } catch (const InputError& error) {
      EXPECT_THAT(error.what(), HasSubstr("parameter 1 of group 0"));
      EXPECT_TRUE(error.agreed());
    }
  });
}

TEST(ShardedOptimizer, NamesRanksThatTakeDifferentSteps) {
  run_ranks(2, [](Communicator& communicator) {
    std::vector<at::Tensor> parameters = {torch::ones({4}).set_requires_grad(true),
                                          torch::ones({4}).set_requires_grad(true)};
    ShardedOptimizer<torch::optim::SGD> optimizer(communicator, parameters,
                                                  torch::optim::SGDOptions(1e-1));
    parameters[0].mutable_grad() = torch::ones({4});
    if (communicator.rank() == 1) parameters[1].mutable_grad() = torch::ones({4});
    EXPECT_THROW(optimizer.step(), DisagreementError);
  });
  EXPECT_THROW(run_ranks(2,
                         [](Communicator& communicator) {
                           const std::vector<at::Tensor> parameters = {
                               torch::ones({4 + communicator.rank()})};
                           const ShardedOptimizer<torch::optim::SGD> optimizer(
                               communicator, parameters, torch::optim::SGDOptions(1e-1));
                         }),
               DisagreementError);
}

TEST(DataParallel, RefusesSumsToSlices) {
  run_ranks(2, [](Communicator& communicator) {
    torch::nn::Sequential net = make_net();
    EXPECT_THROW(DataParallel(communicator, net, {.sharding = Sharding::kOptimizer}), InputError);
  });
}

}  // namespace
}  // namespace thaw
