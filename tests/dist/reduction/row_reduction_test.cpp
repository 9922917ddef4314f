#include "dist/reduction/row_reduction.h"

#include <ATen/ops/embedding.h>
#include <ATen/ops/full.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/randint.h>
#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>

#include "dist/communicator/in_process/in_process.h"
#include "dist/reduction/bucket_reducer.h"
#include "tests/dist/communicator/communicator_contract.h"
#include "tests/dist/reduction/small_network.h"

namespace thaw {
namespace {

using testing_network::relative_difference;

constexpr std::int64_t kRows = 2048;
constexpr std::int64_t kColumns = 300;  // a row is no multiple of 64 bytes in float32

at::Tensor random_rows(std::uint64_t seed, std::int64_t touched, at::ScalarType type) {
  at::Generator generator = at::detail::createCPUGenerator(seed);
  at::Tensor gradient = at::zeros({kRows, kColumns}, at::kDouble);
  const at::Tensor rows = at::randint(kRows, {touched}, generator, at::kLong);
  gradient.index_copy_(0, rows, at::randn({touched, kColumns}, generator, at::kDouble));
  return gradient.to(type);
}

TEST(RowReduction, FindsRowsWhateverByteIsNotZero) {
  at::Tensor gradient = at::zeros({kRows, kColumns}, at::kFloat);
  EXPECT_EQ(touched_rows(gradient), 0);
  gradient[0][0] = 1;
  gradient[7][kColumns - 1] = -1e-40;  // denormal, in the tail
  gradient[9][64] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_EQ(touched_rows(gradient), 3);
}

TEST(RowReduction, IsForLargeMatricesOnTheHost) {
  EXPECT_TRUE(may_travel_by_rows(at::zeros({2048, 600}, at::kFloat)));
  EXPECT_FALSE(may_travel_by_rows(at::zeros({2048, 100}, at::kFloat)));      // small
  EXPECT_FALSE(may_travel_by_rows(at::zeros({512, 4096}, at::kFloat)));      // few rows
  EXPECT_FALSE(may_travel_by_rows(at::zeros({2048, 60, 10}, at::kFloat)));   // no matrix
  EXPECT_FALSE(may_travel_by_rows(at::zeros({600, 2048}, at::kFloat).t()));  // by columns
}

TEST(RowReduction, IsTheDenseSumWithTheSameBitsOnAllRanks) {
  for (const at::ScalarType type : {at::kDouble, at::kFloat, at::kBFloat16}) {
    for (const std::int64_t touched : {0, 1, 50, 2000}) {  // the last: most rows, so all
      run_ranks(3, [&](Communicator& communicator) {
        at::Tensor dense =
            random_rows(static_cast<std::uint64_t>(communicator.rank()) + 1, touched, type);
        at::Tensor by_rows = dense.clone();
        communicator.all_reduce(dense);
        RowReduction reduction(by_rows);
        const std::int64_t bytes = reduction.sum(by_rows, communicator);
        EXPECT_TRUE(by_rows.equal(dense)) << touched;
        contract::expect_same_bits(communicator, by_rows);
        const auto element = static_cast<std::int64_t>(by_rows.element_size());
        const std::int64_t rows = touched > 50 ? kRows : 3 * touched;
        EXPECT_LE(bytes, kRows * 2 + rows * kColumns * element);
      });
    }
  }
}

/// Trains a table of `kRows` embeddings and a bias on 12 of its rows a step.
struct Embeddings {
  explicit Embeddings(at::ScalarType type)
      : table(at::full({kRows, 600}, 0.5, type)), bias(at::ones({600}, type)) {
    table.set_requires_grad(true);
    bias.set_requires_grad(true);
    active = {{"table", table}, {"bias", bias}};
  }
  at::Tensor loss(int step, std::int64_t first, std::int64_t last, std::int64_t total) const {
    at::Generator generator = at::detail::createCPUGenerator(static_cast<std::uint64_t>(step));
    const at::Tensor tokens =
        at::randint(kRows, {total, 3}, generator, at::kLong).slice(0, first, last);
    return at::tanh(at::embedding(table, tokens).add(bias)).sum().div(static_cast<double>(total));
  }
  void descend() {
    const c10::AutoGradMode no_grad(false);
    for (const NamedTensor& parameter : active) parameter.tensor.sub_(parameter.tensor.grad(), 0.1);
  }
  at::Tensor table, bias;
  std::vector<NamedTensor> active;
};

class EmbeddingsByRows : public ::testing::TestWithParam<Overlap> {};
INSTANTIATE_TEST_SUITE_P(Overlap, EmbeddingsByRows, ::testing::Values(Overlap::kOff, Overlap::kOn));

TEST_P(EmbeddingsByRows, TrainAsOneProcessAndMoveLess) {
  constexpr int kSteps = 5;
  constexpr std::int64_t kTotal = 4;
  Embeddings alone(at::kDouble);
  for (int step = 0; step < kSteps; ++step) {
    for (const NamedTensor& parameter : alone.active) parameter.tensor.mutable_grad().reset();
    alone.loss(step, 0, kTotal, kTotal).backward();
    alone.descend();
  }
  for (const bool by_rows : {true, false}) {
    run_ranks(3, [&](Communicator& communicator) {
      Embeddings model(at::kDouble);
      ReducerOptions options{{}, GetParam()};
      options.buckets.by_rows = by_rows;
      const auto reducer = make_bucket_reducer(communicator, model.active, {}, options);
      const std::int64_t whole = (kRows * 600 + 600) * 8;
      for (int step = 0; step < kSteps; ++step) {
        // Rank 1 has two samples in two micro-batches, the others one each.
        const std::int64_t first = communicator.rank() == 2 ? 3 : communicator.rank();
        const std::int64_t count = communicator.rank() == 1 ? 2 : 1;
        reducer->begin({count, kTotal});
        if (count == 2) model.loss(step, first, first + 1, kTotal).backward();
        reducer->last_backward();
        model.loss(step, first + count - 1, first + count, kTotal).backward();
        reducer->finish();
        model.descend();
        if (by_rows && step > 0) {
          EXPECT_LE(reducer->counters().payload_bytes, (12 + 1) * 600 * 8 + kRows * 2);
        } else {
          EXPECT_EQ(reducer->counters().payload_bytes, whole);
        }
      }
      EXPECT_LE(relative_difference(model.table, alone.table), 1e-13);
      EXPECT_LE(relative_difference(model.bias, alone.bias), 1e-13);
      contract::expect_same_bits(communicator, model.table);
    });
  }
}

TEST_P(EmbeddingsByRows, CountARankThatDidNotUseThemAsZero) {
  run_ranks(2, [&](Communicator& communicator) {
    Embeddings model(at::kFloat);
    const auto reducer = make_bucket_reducer(communicator, model.active, {}, {{}, GetParam()});
    for (int step = 0; step < 3; ++step) {
      reducer->begin({1, 2});
      reducer->last_backward();
      if (communicator.rank() == 0 || step == 0) {
        model.loss(step, 0, 1, 2).backward();
      } else {
        model.bias.sum().backward();
      }
      reducer->finish();
      EXPECT_TRUE(model.table.grad().defined());
      contract::expect_same_bits(communicator, model.table.grad());
    }
    reducer->begin({1, 2});
    reducer->last_backward();
    model.bias.sum().backward();
    reducer->finish();
    EXPECT_FALSE(model.table.grad().defined());
  });
}

}  // namespace
}  // namespace thaw
