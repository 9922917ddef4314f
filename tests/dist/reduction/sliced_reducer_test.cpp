#include "dist/reduction/sharding/sliced_reducer.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/embedding.h>
#include <ATen/ops/full.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/randint.h>
#include <ATen/ops/tanh.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "core/base/error.h"
#include "core/parallel/sharded_state.h"
#include "dist/communicator/in_process/in_process.h"
#include "dist/reduction/bucket_reducer.h"
#include "dist/reduction/sending/gradient_hook.h"
#include "tests/dist/communicator/communicator_contract.h"
#include "tests/dist/reduction/sharded_steps.h"
#include "tests/dist/reduction/small_network.h"
#include "tests/support/forwarding_communicator.h"

namespace thaw {
namespace {

using ::testing::HasSubstr;
using testing_network::all_of;
using testing_network::descend_sharded;
using testing_network::relative_difference;
using testing_network::Samples;
using testing_network::Slice;
using testing_network::SmallNetwork;

double norm_of(const std::vector<NamedTensor>& parameters) {
  double squares = 0;
  for (const NamedTensor& parameter : parameters) {
    if (parameter.tensor.grad().defined()) {
      squares += parameter.tensor.grad().to(at::kDouble).square().sum().item<double>();
    }
  }
  return std::sqrt(squares);
}

class SlicedReducer : public ::testing::TestWithParam<Sharding> {};
INSTANTIATE_TEST_SUITE_P(Sharding, SlicedReducer,
                         ::testing::Values(Sharding::kOptimizer, Sharding::kGradients));

TEST_P(SlicedReducer, TrainsAsOneProcessWithTheWholeBatch) {
  for (int ranks = 1; ranks <= 4; ++ranks) {
    for (const Overlap overlap : {Overlap::kOff, Overlap::kOn, Overlap::kAuto}) {
      for (const std::int64_t total : {13, 1}) {
        run_ranks(ranks, [&](Communicator& communicator) {
          const Samples samples(total, at::kDouble);
          SmallNetwork network, alone;
          network.activate(1, 6);
          alone.activate(1, 6);
          const auto reducer = make_sliced_reducer(
              communicator, network.active, network.frozen,
              {.buckets = {.cap_bytes = 200}, .overlap = overlap, .sharding = GetParam()});
          EXPECT_EQ(reducer->sharded() == nullptr, ranks == 1);
          for (int step = 0; step < 16; ++step) {
            const Slice slice(total, communicator.rank(), ranks);
            testing_network::reduce_step(*reducer, network, samples, slice, 3);
            for (NamedTensor& parameter : alone.parameters) parameter.tensor.mutable_grad().reset();
            testing_network::loss_of(alone, samples, 0, total, total).backward();
            if (ShardedState* sharded = reducer->sharded()) {
              const at::Tensor norm = sharded->gradient_norm(all_of(*sharded));
              EXPECT_NEAR(norm.item<double>(), norm_of(alone.active), 1e-10);
              descend_sharded(*sharded, 0.1);
            } else {
              network.descend(0.1);
            }
            alone.descend(0.1);
          }
          for (std::size_t i = 1; i < 6; ++i) {
            EXPECT_LE(relative_difference(network.parameters[i].tensor, alone.parameters[i].tensor),
                      1e-12);
            contract::expect_same_bits(communicator, network.parameters[i].tensor);
          }
        });
      }
    }
  }
}

TEST_P(SlicedReducer, HandsOutPartsAlone) {
  run_ranks(3, [&](Communicator& communicator) {
    const Samples samples(6, at::kDouble);
    SmallNetwork network;
    network.activate(0, 6);
    const auto reducer =
        make_sliced_reducer(communicator, network.active, network.frozen, {.sharding = GetParam()});
    testing_network::reduce_step(*reducer, network, samples, Slice(6, communicator.rank(), 3), 6);
    for (const NamedTensor& parameter : network.parameters) {
      EXPECT_FALSE(parameter.tensor.grad().defined()) << parameter.name;
    }
    std::vector<double> elements = {0};
    for (const ParameterSlice& slice : reducer->sharded()->slices()) {
      ASSERT_TRUE(slice.part.grad().defined()) << slice.name;
      EXPECT_EQ(slice.part.grad().numel(), slice.part.numel());
      elements[0] += static_cast<double>(slice.part.numel());
    }
    communicator.all_reduce(elements);
    EXPECT_EQ(elements[0], 35 + 7 + 42 + 6 + 18 + 3);
    reducer->sharded()->share_updates();
    for (const ParameterSlice& slice : reducer->sharded()->slices()) {
      EXPECT_FALSE(slice.part.grad().defined());
    }
  });
}

/// What no rank reaches has no gradient; what one reaches counts as zero on the others.
TEST_P(SlicedReducer, LeavesUnusedParametersAlone) {
  run_ranks(2, [&](Communicator& communicator) {
    const Samples samples(4, at::kDouble);
    SmallNetwork network;
    network.activate(0, 6);
    const auto reducer =
        make_sliced_reducer(communicator, network.active, network.frozen, {.sharding = GetParam()});
    reducer->begin({2, 4});
    reducer->last_backward();
    // Rank 0 leaves the lower layer out, both leave the head's weight out.
    const at::Tensor input =
        communicator.rank() == 0
            ? at::ones({2, 7}, at::kDouble)
            : at::tanh(at::linear(samples.inputs.slice(0, 0, 2), network.parameters[0].tensor,
                                  network.parameters[1].tensor));
    const at::Tensor hidden =
        at::linear(input, network.parameters[2].tensor, network.parameters[3].tensor);
    (hidden.sum() + network.parameters[5].tensor.sum()).backward();
    reducer->finish();
    const auto slices = reducer->sharded()->slices();
    for (std::size_t i = 0; i < slices.size(); ++i) {
      EXPECT_EQ(slices[i].part.grad().defined(), i != 4) << slices[i].name;
    }
    const auto self = static_cast<std::size_t>(communicator.rank());
    if (slices[5].part.numel() > 0) {
      EXPECT_TRUE(slices[5].part.grad().eq(2).all().item<bool>());
    }
    EXPECT_EQ(slices[5].part.numel(), slices[5].cuts[self + 1] - slices[5].cuts[self]);
  });
}

/// Two names of one tensor, as of an embedding that is the head's weight too: one gradient, summed
/// and cut once.
TEST_P(SlicedReducer, SumsTiedWeightsOnce) {
  constexpr std::int64_t kSamples = 4;
  const auto loss_of = [](const at::Tensor& tied, std::int64_t first, std::int64_t last) {
    const at::Tensor inputs = at::ones({kSamples, 40}, at::kDouble).slice(0, first, last);
    return at::linear(at::tanh(at::linear(inputs, tied)), tied.t()).sum().div(kSamples);
  };
  at::Tensor alone = at::full({30, 40}, 0.01, at::kDouble).set_requires_grad(true);
  for (int step = 0; step < 4; ++step) {
    alone.mutable_grad().reset();
    loss_of(alone, 0, kSamples).backward();
    const c10::AutoGradMode no_grad(false);
    alone.sub_(alone.grad(), 0.01);
  }
  run_ranks(3, [&](Communicator& communicator) {
    const at::Tensor tied = at::full({30, 40}, 0.01, at::kDouble).set_requires_grad(true);
    const auto reducer = make_sliced_reducer(
        communicator, std::vector<NamedTensor>{{"embeddings", tied}, {"head", tied}}, {},
        {.sharding = GetParam()});
    ASSERT_EQ(reducer->sharded()->slices().size(), 1U);
    EXPECT_EQ(reducer->counters().payload_bytes, 30 * 40 * 8);
    const Slice slice(kSamples, communicator.rank(), 3);
    for (int step = 0; step < 4; ++step) {
      reducer->begin({slice.last - slice.first, kSamples});
      reducer->last_backward();
      loss_of(tied, slice.first, slice.last).backward();
      reducer->finish();
      descend_sharded(*reducer->sharded(), 0.01);
    }
    EXPECT_LE(relative_difference(tied, alone), 1e-12);
    contract::expect_same_bits(communicator, tied);
  });
}

TEST_P(SlicedReducer, RefusesUnusedParametersWhereTheyAreErrors) {
  EXPECT_THROW(run_ranks(2,
                         [&](Communicator& communicator) {
                           SmallNetwork network;
                           network.activate(0, 6);
                           const auto reducer = make_sliced_reducer(
                               communicator, network.active, network.frozen,
                               {.unused = Unused::kError, .sharding = GetParam()});
                           reducer->begin({1, 2});
                           reducer->last_backward();
                           network.parameters[5].tensor.sum().backward();
                           reducer->finish();
                         }),
               RunError);
}

TEST_P(SlicedReducer, NamesAFrozenParameterThatGetsAGradient) {
  try {
    run_ranks(2, [&](Communicator& communicator) {
      const Samples samples(4, at::kDouble);
      SmallNetwork network;
      network.activate(2, 6);
      const auto reducer = make_sliced_reducer(communicator, network.active, network.frozen,
                                               {.sharding = GetParam()});
      if (communicator.rank() == 1) network.parameters[1].tensor.set_requires_grad(true);
      testing_network::reduce_step(*reducer, network, samples, Slice(4, communicator.rank(), 2), 2);
    });
    FAIL() << "no error";
  } catch (const ReductionMismatch& error) {
    EXPECT_THAT(error.what(), HasSubstr("lower.bias"));
  }
}

TEST_P(SlicedReducer, NamesOptionsThatDifferBetweenRanks) {
  try {
    run_ranks(2, [&](Communicator& communicator) {
      SmallNetwork network;
      network.activate(0, 6);
      const Sharding other =
          GetParam() == Sharding::kOptimizer ? Sharding::kGradients : Sharding::kOptimizer;
      make_sliced_reducer(communicator, network.active, network.frozen,
                          {.sharding = communicator.rank() == 0 ? GetParam() : other});
    });
    FAIL() << "no error";
  } catch (const DisagreementError& error) {
    EXPECT_THAT(error.what(), HasSubstr("sharding"));
  }
}

TEST_P(SlicedReducer, RefusesWhatCannotBeCut) {
  run_ranks(2, [&](Communicator& communicator) {
    at::Tensor turned = at::ones({4, 3}, at::kDouble).t();
    turned.set_requires_grad(true);
    at::Tensor half = at::ones({4}, at::kHalf).set_requires_grad(true);
    at::Tensor plain = at::ones({4}, at::kDouble).set_requires_grad(true);
    const ReducerOptions options{.sharding = GetParam()};
    for (const NamedTensor& parameter :
         {NamedTensor{"turned", turned}, NamedTensor{"half", half}}) {
      try {
        make_sliced_reducer(communicator, std::vector{parameter}, {}, options);
        ADD_FAILURE() << "no error";
      } catch (const InputError& error) {
        EXPECT_THAT(error.what(), HasSubstr('"' + parameter.name + '"'));
      }
    }
    ReducerOptions hooked = options;
    hooked.hook = make_rounding_hook();
    EXPECT_THROW(
        make_sliced_reducer(communicator, std::vector{NamedTensor{"plain", plain}}, {}, hooked),
        InputError);
  });
}

TEST_P(SlicedReducer, NamesAParameterOfAnotherShapeOnARank) {
  try {
    run_ranks(3, [&](Communicator& communicator) {
      const std::int64_t rows = communicator.rank() == 1 ? 5 : 4;
      const at::Tensor table = at::ones({rows, 8}, at::kDouble).set_requires_grad(true);
      make_sliced_reducer(communicator, std::vector{NamedTensor{"table", table}}, {},
                          {.sharding = GetParam()});
    });
    FAIL() << "no error";
  } catch (const DisagreementError& error) {
    EXPECT_THAT(error.what(), HasSubstr("table"));
    EXPECT_THAT(error.what(), HasSubstr("rank 1"));
  }
}

/// Has another number of ranks than there are.
class Miscounting final : public ForwardingCommunicator {
 public:
  Miscounting(Communicator& inner, int size) : ForwardingCommunicator(inner), size_(size) {}
  int size() const override { return size_; }

 private:
  int size_;
};

/// Slices follow from buckets, whose maps are compared before, and the number of ranks.
TEST_P(SlicedReducer, NamesARankWhoseSlicesAreOthers) {
  try {
    run_ranks(3, [&](Communicator& inner) {
      Miscounting communicator(inner, inner.rank() == 1 ? 2 : 3);
      const at::Tensor table = at::ones({600, 8}, at::kDouble).set_requires_grad(true);
      make_sliced_reducer(communicator, std::vector{NamedTensor{"table", table}}, {},
                          {.sharding = GetParam()});
    });
    FAIL() << "no error";
  } catch (const DisagreementError& error) {
    EXPECT_THAT(error.what(), HasSubstr("different slices"));
    EXPECT_THAT(error.what(), HasSubstr("table: cut at"));
    EXPECT_THAT(error.what(), HasSubstr("rank 1"));
  }
}

/// A table of embeddings of which few rows are touched, and a bias.
TEST_P(SlicedReducer, SumsEmbeddingsByRows) {
  constexpr std::int64_t kRows = 2'050, kWidth = 300, kTotal = 6;
  const auto loss_of = [](const at::Tensor& table, const at::Tensor& bias, int step,
                          std::int64_t first, std::int64_t last) {
    at::Generator generator = at::detail::createCPUGenerator(static_cast<std::uint64_t>(step));
    // In the last steps nearly all rows are touched, by each rank, so that all travel.
    const std::int64_t words = step < 3 ? 4 : 6'000;
    const at::Tensor tokens =
        at::randint(kRows, {kTotal, words}, generator, at::kLong).slice(0, first, last);
    return at::tanh(at::embedding(table, tokens).add(bias)).sum().div(1.0 * kTotal * words);
  };
  at::Tensor table = at::full({kRows, kWidth}, 0.5, at::kDouble).set_requires_grad(true);
  at::Tensor bias = at::ones({kWidth}, at::kDouble).set_requires_grad(true);
  for (int step = 0; step < 5; ++step) {
    for (at::Tensor& each : std::vector{table, bias}) each.mutable_grad().reset();
    loss_of(table, bias, step, 0, kTotal).backward();
    const c10::AutoGradMode no_grad(false);
    for (at::Tensor& each : std::vector{table, bias}) each.sub_(each.grad(), 0.1);
  }
  for (int ranks = 2; ranks <= 4; ++ranks) {
    for (const Overlap overlap : {Overlap::kOff, Overlap::kOn}) {
      run_ranks(ranks, [&](Communicator& communicator) {
        std::vector<NamedTensor> active = {
            {"table", at::full({kRows, kWidth}, 0.5, at::kDouble).set_requires_grad(true)},
            {"bias", at::ones({kWidth}, at::kDouble).set_requires_grad(true)}};
        const auto reducer = make_sliced_reducer(communicator, active, {},
                                                 {.overlap = overlap, .sharding = GetParam()});
        for (int step = 0; step < 5; ++step) {
          const Slice slice(kTotal, communicator.rank(), ranks);
          reducer->begin({slice.last - slice.first, kTotal});
          reducer->last_backward();
          loss_of(active[0].tensor, active[1].tensor, step, slice.first, slice.last).backward();
          reducer->finish();
          const std::int64_t whole = (kRows * kWidth + kWidth) * 8;
          EXPECT_EQ(reducer->counters().payload_bytes < whole / 2, step < 3);
          descend_sharded(*reducer->sharded(), 0.1);
        }
        EXPECT_LE(relative_difference(active[0].tensor, table), 1e-12);
        EXPECT_LE(relative_difference(active[1].tensor, bias), 1e-12);
      });
    }
  }
}

}  // namespace
}  // namespace thaw
