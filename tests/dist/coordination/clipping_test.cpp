// Clipping by the global norm where ranks have unequal shares, against values computed by hand.
#include <ATen/ops/matmul.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>

#include "core/data/batch.h"
#include "core/data/memory_dataset.h"
#include "core/models/module_model.h"
#include "core/schedule/schedule.h"
#include "dist/communicator/in_process/in_process.h"
#include "tests/support/coordinators.h"
#include "tests/support/training.h"

namespace thaw {
namespace {

/// Its loss is the mean over the samples of their product with the weight, so that the gradient of
/// the weight is the mean of the samples, whatever the weight.
struct Products : torch::nn::Module {
  Products() { weight = register_parameter("weight", at::ones({2}, at::kDouble)); }
  at::Tensor weight;
};

/// Five samples whose mean is (3, 4): its length is 5.
Dataset five_samples() {
  const at::Tensor samples = at::tensor({5., 0., 5., 0., 5., 0., 0., 10., 0., 10.}, at::kFloat);
  return make_memory_dataset({{"train", samples.view({5, 1, 1, 2}), at::zeros({5}, at::kLong)}});
}

/// What one step of plain SGD at rate 1 leaves of a weight (1, 1).
at::Tensor stepped(Communicator& communicator, double clip_norm, std::int64_t micro_batch,
                   std::vector<double>& norms) {
  const auto products = std::make_shared<Products>();
  ModuleModel model(products, {{"all", {"*"}}}, [&](const Batch& batch) {
    return at::matmul(batch.inputs.flatten(1), products->weight).unsqueeze(1);
  });
  Training training{.schedule = {{make_stage("all", {"all"}, after_steps(1), 1)}}};
  training.data.batch = 5;
  training.train.optimizer = OptimizerKind::kSgd;
  training.train.momentum = 0;
  training.train.weight_decay = 0;
  training.train.clip_norm = clip_norm;
  training.train.micro_batch = micro_batch;
  training.loss = [](const at::Tensor& outputs, const Batch&) { return outputs.mean(); };
  const auto coordinator = coordinator_for(communicator);
  Recorder heard;
  training.run(model, five_samples(), heard, communicator, *coordinator);
  if (communicator.rank() == 0) norms = heard.norms();
  return products->weight.detach().clone();
}

/// That every rank of so many ends with (x, y), and the gradients' norm was told as it is.
void expect_weight(int ranks, double clip_norm, std::int64_t micro_batch, double x, double y) {
  SCOPED_TRACE(testing::Message() << ranks << " ranks, micro-batch " << micro_batch);
  std::vector<double> norms;
  run_ranks(ranks, [&](Communicator& communicator) {
    const at::Tensor weight = stepped(communicator, clip_norm, micro_batch, norms);
    // To the 1e-6 that torch.nn.utils.clip_grad_norm_ adds to the norm too.
    EXPECT_NEAR(weight[0].item().toDouble(), x, 1e-6);
    EXPECT_NEAR(weight[1].item().toDouble(), y, 1e-6);
  });
  ASSERT_EQ(norms.size(), 1U);
  EXPECT_DOUBLE_EQ(norms[0], 5);
}

// Shares of 5; 3 and 2; 2, 2 and 1; 2, 1, 1 and 1; and one each, with a rank that has none.
class Clipping : public testing::TestWithParam<int> {};

TEST_P(Clipping, BringsTheMeanOfAllSamplesDownToTheLimit) {
  for (const std::int64_t micro_batch : {0, 1, 2}) {
    expect_weight(GetParam(), 2.5, micro_batch, 1 - 3 * 0.5, 1 - 4 * 0.5);
    expect_weight(GetParam(), 0.5, micro_batch, 1 - 3 * 0.1, 1 - 4 * 0.1);
  }
}

TEST_P(Clipping, LeavesAShorterGradientAsItIs) {
  for (const std::int64_t micro_batch : {0, 2}) {
    expect_weight(GetParam(), 5.5, micro_batch, 1 - 3, 1 - 4);
  }
}

INSTANTIATE_TEST_SUITE_P(Ranks, Clipping, testing::Values(1, 2, 3, 4, 6));

}  // namespace
}  // namespace thaw
