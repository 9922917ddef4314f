#include <ATen/ops/full.h>
#include <ATen/ops/ones.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstddef>
#include <vector>

#include "core/config/configuration.h"
#include "core/step/gradient_norm.h"
#include "core/step/optimizers/registry.h"
#include "tests/support/limited_memory.h"

namespace thaw {
namespace {

at::Tensor parameter(double value) {
  return at::full({2, 3}, value, at::dtype(at::kDouble)).requires_grad_(true);
}

void set_gradient(at::Tensor& tensor, double value) {
  tensor.mutable_grad() = at::full({2, 3}, value, at::dtype(at::kDouble));
}

double value_of(const at::Tensor& tensor) { return tensor[0][0].item().toDouble(); }

/// AdamW for one number, as Loshchilov and Hutter write it (algorithm 2).
struct ReferenceAdamW {
  double value, rate, decay, beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8;
  double m = 0, v = 0;
  int t = 0;
  void step(double gradient) {
    ++t;
    value -= rate * decay * value;
    m = beta1 * m + (1 - beta1) * gradient;
    v = beta2 * v + (1 - beta2) * gradient * gradient;
    const double m_hat = m / (1 - std::pow(beta1, t));
    const double v_hat = v / (1 - std::pow(beta2, t));
    value -= rate * m_hat / (std::sqrt(v_hat) + epsilon);
  }
};

TEST(AdamW, FollowsThePaper) {
  at::Tensor weight = parameter(1.5);
  ReferenceAdamW reference{1.5, 0.01, 0.1};
  const std::unique_ptr<Optimizer> optimizer = make_optimizer({.optimizer = OptimizerKind::kAdamW});
  optimizer->enter_stage({{0.01, 0.1, {"w"}, {weight}}}, {});
  for (const double gradient : {0.3, -0.7, 0.2, 1.1}) {
    set_gradient(weight, gradient);
    optimizer->step(1.0, 1.0);
    reference.step(gradient);
    EXPECT_NEAR(value_of(weight), reference.value, 1e-12);
  }
}

TEST(AdamW, RateFactorAndClipFactorScaleRateAndGradient) {
  at::Tensor weight = parameter(1.5);
  ReferenceAdamW reference{1.5, 0.005, 0.1};
  const std::unique_ptr<Optimizer> optimizer = make_optimizer({.optimizer = OptimizerKind::kAdamW});
  optimizer->enter_stage({{0.01, 0.1, {"w"}, {weight}}}, {});
  for (const double gradient : {0.3, -0.7}) {
    set_gradient(weight, gradient);
    optimizer->step(0.5, 0.25);
    reference.step(0.25 * gradient);
    EXPECT_NEAR(value_of(weight), reference.value, 1e-12);
  }
}

TEST(AdamW, ClipFactorReachesTheKernelInFloat32Too) {
  at::Tensor scaled = parameter(1.5).detach().to(at::kFloat).requires_grad_(true);
  at::Tensor plain = scaled.detach().clone().requires_grad_(true);
  const std::unique_ptr<Optimizer> optimizer = make_optimizer({.optimizer = OptimizerKind::kSgd});
  optimizer->enter_stage({{0.1, 0.0, {"scaled"}, {scaled}}}, {.momentum = 0});
  scaled.mutable_grad() = at::full({2, 3}, 4.0);
  optimizer->step(1.0, 0.25);
  optimizer->enter_stage({{0.1, 0.0, {"plain"}, {plain}}}, {.momentum = 0});
  plain.mutable_grad() = at::full({2, 3}, 1.0);
  optimizer->step(1.0, 1.0);
  EXPECT_NEAR(value_of(scaled), value_of(plain), 1e-6);
  EXPECT_NEAR(value_of(scaled), 1.4, 1e-6);
}

TEST(Optimizer, AScaleOnTheDeviceIsThatOfTheHost) {
  for (const OptimizerKind kind : {OptimizerKind::kAdamW, OptimizerKind::kSgd}) {
    for (const at::ScalarType type : {at::kFloat, at::kDouble}) {
      at::Tensor by_host = parameter(1.5).detach().to(type).requires_grad_(true);
      at::Tensor by_device = by_host.detach().clone().requires_grad_(true);
      for (const bool on_device : {false, true}) {
        at::Tensor& weight = on_device ? by_device : by_host;
        const std::unique_ptr<Optimizer> optimizer = make_optimizer({.optimizer = kind});
        ASSERT_TRUE(optimizer->guards_on_device());
        optimizer->enter_stage({{0.1, 0.01, {"w"}, {weight}}}, {});
        weight.mutable_grad() = at::full({2, 3}, 4.0, type);
        if (on_device) {
          optimizer->step({0.1}, DeviceScale{at::full({}, 0.25, type), at::full({}, 0.0F)});
        } else {
          optimizer->step(std::vector<double>{0.1}, 0.25);
        }
      }
      EXPECT_TRUE(by_host.equal(by_device)) << by_host << by_device;
      EXPECT_NE(value_of(by_host), 1.5);
    }
  }
}

TEST(Optimizer, AStepThatIsNotFiniteOnTheDeviceChangesNothing) {
  for (const OptimizerKind kind : {OptimizerKind::kAdamW, OptimizerKind::kSgd}) {
    at::Tensor weight = parameter(1.5).detach().to(at::kFloat).requires_grad_(true);
    const std::unique_ptr<Optimizer> optimizer = make_optimizer({.optimizer = kind});
    optimizer->enter_stage({{0.1, 0.01, {"w"}, {weight}}}, {});
    weight.mutable_grad() = at::full({2, 3}, NAN);
    optimizer->step({0.1}, DeviceScale{at::full({}, NAN), at::full({}, 1.0F)});
    EXPECT_EQ(value_of(weight), 1.5);
    const ParameterState& state = optimizer->states().at("w");
    EXPECT_EQ(state.step.item<float>(), 0);
    for (const at::Tensor& slot : state.slots) EXPECT_EQ(value_of(slot), 0);
  }
}

TEST(AdamW, StatePreparedBesideTrainingChangesNothing) {
  at::Tensor first = parameter(1.5), second = parameter(-0.5);
  ReferenceAdamW first_reference{1.5, 0.01, 0.1}, second_reference{-0.5, 0.01, 0.1};
  const std::unique_ptr<Optimizer> optimizer = make_optimizer({.optimizer = OptimizerKind::kAdamW});
  optimizer->enter_stage({{0.01, 0.1, {"first"}, {first}}}, {});
  optimizer->prepare({"first", "second", "never"}, {first, second, parameter(0)});
  set_gradient(first, 0.3);
  optimizer->step(1.0, 1.0);
  first_reference.step(0.3);
  optimizer->enter_stage({{0.01, 0.1, {"first", "second"}, {first, second}}}, {});
  EXPECT_EQ(optimizer->states().size(), 2u);
  set_gradient(first, -0.7);
  set_gradient(second, 0.2);
  optimizer->step(1.0, 1.0);
  first_reference.step(-0.7);
  second_reference.step(0.2);
  EXPECT_NEAR(value_of(first), first_reference.value, 1e-12);
  EXPECT_NEAR(value_of(second), second_reference.value, 1e-12);
}

TEST(Optimizer, PreparesWhatThereIsRoomForAndMakesTheRestAtTheTransition) {
  LimitedMemory memory;
  const at::Tensor first = parameter(1.5), second = parameter(-0.5);
  constexpr std::size_t kOfOne = 4 + 2 * 48, kOfOneAndAHalf = kOfOne + kOfOne / 2;
  const std::unique_ptr<Optimizer> optimizer = make_optimizer({.optimizer = OptimizerKind::kAdamW});
  memory.left = kOfOneAndAHalf;
  optimizer->prepare({"first", "second"}, {first, second});
  optimizer->wait_prepared();
  memory.left = kOfOneAndAHalf;  // enough where the first one's is there already
  EXPECT_NO_THROW(optimizer->enter_stage({{0.01, 0.1, {"first", "second"}, {first, second}}}, {}));
  memory.left = LimitedMemory::kUnlimited;
  ASSERT_EQ(optimizer->states().size(), 2U);
  for (const auto& [name, state] : optimizer->states()) {
    EXPECT_EQ(state.step.item<float>(), 0) << name;
    ASSERT_EQ(state.slots.size(), 2U) << name;
    for (const at::Tensor& slot : state.slots) EXPECT_EQ(value_of(slot), 0) << name;
  }
}

TEST(Optimizer, MayBeDestroyedWhileItPrepares) {
  const at::Tensor weight = parameter(1);
  std::unique_ptr<Optimizer> optimizer = make_optimizer({.optimizer = OptimizerKind::kSgd});
  optimizer->prepare({"w"}, {weight});
  optimizer.reset();
  EXPECT_EQ(weight.use_count(), 1U) << "its thread lives on";
}

TEST(AdamW, StateAndStepCountSurviveAStageOfBeingFrozen) {
  at::Tensor weight = parameter(1.5);
  at::Tensor other = parameter(2.0);
  ReferenceAdamW reference{1.5, 0.01, 0.0};
  const std::unique_ptr<Optimizer> optimizer = make_optimizer({.optimizer = OptimizerKind::kAdamW});
  optimizer->enter_stage({{0.01, 0.0, {"w"}, {weight}}}, {});
  set_gradient(weight, 0.3);
  optimizer->step(1.0, 1.0);
  reference.step(0.3);

  optimizer->enter_stage({{0.01, 0.0, {"other"}, {other}}}, {});
  set_gradient(other, 0.5);
  const double before = value_of(weight);
  optimizer->step(1.0, 1.0);
  EXPECT_EQ(value_of(weight), before) << "a frozen parameter moved";

  optimizer->enter_stage({{0.01, 0.0, {"w", "other"}, {weight, other}}}, {});
  set_gradient(weight, -0.2);
  optimizer->step(1.0, 1.0);
  reference.step(-0.2);
  EXPECT_NEAR(value_of(weight), reference.value, 1e-12);
  EXPECT_EQ(optimizer->states().at("w").step.item().toDouble(), 2);
  EXPECT_EQ(optimizer->states().at("other").step.item().toDouble(), 2);
}

TEST(AdamW, SkipsAParameterWithoutGradient) {
  at::Tensor used = parameter(1.0);
  at::Tensor unused = parameter(1.0);
  const std::unique_ptr<Optimizer> optimizer = make_optimizer({.optimizer = OptimizerKind::kAdamW});
  optimizer->enter_stage({{0.01, 0.5, {"used", "unused"}, {used, unused}}}, {});
  set_gradient(used, 1.0);
  optimizer->step(1.0, 1.0);
  EXPECT_NE(value_of(used), 1.0);
  EXPECT_EQ(value_of(unused), 1.0) << "decay without a gradient";
  EXPECT_EQ(optimizer->states().at("unused").step.item().toDouble(), 0);
}

TEST(Sgd, MomentumStartsWithTheGradientWhenAParameterThaws) {
  at::Tensor early = parameter(1.0);
  at::Tensor late = parameter(1.0);
  const std::unique_ptr<Optimizer> optimizer = make_optimizer({.optimizer = OptimizerKind::kSgd});
  const TrainOptions settings{.momentum = 0.5};
  optimizer->enter_stage({{0.1, 0.0, {"early"}, {early}}}, settings);
  set_gradient(early, 1.0);
  optimizer->step(1.0, 1.0);
  EXPECT_NEAR(value_of(early), 0.9, 1e-12);

  optimizer->enter_stage({{0.1, 0.0, {"early", "late"}, {early, late}}}, settings);
  set_gradient(early, 1.0);
  set_gradient(late, 1.0);
  optimizer->step(1.0, 1.0);
  EXPECT_NEAR(value_of(early), 0.9 - 0.1 * 1.5, 1e-12);
  EXPECT_NEAR(value_of(late), 0.9, 1e-12);
}

}  // namespace
}  // namespace thaw
