#include "core/train/left_gradients.h"

#include <ATen/ops/full.h>
#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>

namespace thaw {
namespace {

at::Tensor parameter() { return at::zeros({2, 3}).requires_grad_(); }

// Two graphs: what is read after the first was queued again is what the first wrote, though the
// second was captured last.
TEST(LeftGradients, AreThoseOfTheGraphThatIsQueued) {
  const std::vector<at::Tensor> parameters = {parameter(), parameter()};
  // The graphs' memory.
  const at::Tensor first = at::full({3, 2}, 1.0).t(), second = at::full({2, 3}, 2.0);
  parameters[0].mutable_grad() = first;
  const LeftGradients of_first(parameters);
  parameters[0].mutable_grad() = second;
  parameters[1].mutable_grad() = second;
  const LeftGradients of_second(parameters);

  of_first.put_back();
  EXPECT_EQ(parameters[0].grad().const_data_ptr(), first.const_data_ptr());
  EXPECT_EQ(parameters[0].grad().strides(), first.strides());
  EXPECT_FALSE(parameters[1].grad().defined()) << "it had none";
  first.fill_(7);  // the graph is queued
  EXPECT_EQ(parameters[0].grad().sum().item().toDouble(), 42);
  of_second.put_back();
  EXPECT_EQ(parameters[1].grad().const_data_ptr(), second.const_data_ptr());
}

TEST(LeftGradients, KeepNoMemory) {
  const std::vector<at::Tensor> parameters = {parameter()};
  const at::Tensor gradient = at::zeros({2, 3});
  parameters[0].mutable_grad() = gradient;
  const LeftGradients left(parameters);
  left.put_back();
  EXPECT_EQ(gradient.storage().use_count(), 1);
}

TEST(LeftGradients, AreTakenAwayWhereTheyAreStillThere) {
  const std::vector<at::Tensor> parameters = {parameter(), parameter()};
  const at::Tensor gradient = at::zeros({2, 3}), later = at::zeros({2, 3});
  for (const at::Tensor& each : parameters) each.mutable_grad() = gradient;
  const LeftGradients left(parameters);
  left.put_back();
  parameters[1].mutable_grad() = later;  // a step call by call
  left.take_away();
  EXPECT_FALSE(parameters[0].grad().defined());
  EXPECT_TRUE(parameters[1].grad().is_same(later));
}

}  // namespace
}  // namespace thaw
