#include <ATen/ops/full.h>
#include <gtest/gtest.h>

#include "core/config/configuration_document.h"
#include "core/config/options_writer.h"
#include "core/step/optimizers/registry.h"

namespace thaw {
namespace {

const TrainOptions kLion{.optimizer = OptimizerKind::kLion};

at::Tensor parameter(double value) {
  return at::full({2, 3}, value, at::dtype(at::kDouble)).requires_grad_(true);
}

void set_gradient(at::Tensor& tensor, double value) {
  tensor.mutable_grad() = at::full({2, 3}, value, at::dtype(at::kDouble));
}

double value_of(const at::Tensor& tensor) { return tensor[0][0].item().toDouble(); }

/// Lion for one number, as Chen et al. write it (algorithm 2).
struct ReferenceLion {
  double value, rate, decay, beta1 = 0.9, beta2 = 0.99;
  double m = 0;
  void step(double gradient) {
    const double c = beta1 * m + (1 - beta1) * gradient;
    const double sign = c > 0 ? 1 : c < 0 ? -1 : 0;
    value -= rate * (sign + decay * value);
    m = beta2 * m + (1 - beta2) * gradient;
  }
};

// Gradients that change their sign, small enough that now and then the mean outweighs them: with
// beta1 and beta2 swapped, or the mean updated before the step, the signs are others.
constexpr double kGradients[] = {0.3, -0.7, 0.2, 1.1, -0.01, -0.02, -1.5, 0.4, 0.001, 0};

TEST(Lion, FollowsThePaper) {
  at::Tensor weight = parameter(1.5);
  ReferenceLion reference{1.5, 0.01, 0.1};
  const auto optimizer = make_optimizer(kLion);
  optimizer->enter_stage({{0.01, 0.1, {"w"}, {weight}}}, kLion);
  for (const double gradient : kGradients) {
    set_gradient(weight, gradient);
    optimizer->step(1.0, 1.0);
    reference.step(gradient);
    EXPECT_NEAR(value_of(weight), reference.value, 1e-12) << gradient;
    EXPECT_NEAR(value_of(optimizer->states().at("w").slots[0]), reference.m, 1e-12);
  }
}

TEST(Lion, TakesBetasAndTheClipFactor) {
  TrainOptions options = kLion;
  options.beta1 = 0.5;
  options.beta2 = 0.8;
  at::Tensor weight = parameter(1.5);
  ReferenceLion reference{1.5, 0.005, 0.1, 0.5, 0.8};
  const auto optimizer = make_optimizer(options);
  optimizer->enter_stage({{0.01, 0.1, {"w"}, {weight}}}, options);
  for (const double gradient : kGradients) {
    set_gradient(weight, gradient);
    optimizer->step(0.5, 0.25);
    reference.step(0.25 * gradient);
    EXPECT_NEAR(value_of(weight), reference.value, 1e-12) << gradient;
  }
}

TEST(Lion, GoesOnWhereItWasAfterAStageOfBeingFrozen) {
  at::Tensor weight = parameter(1.5), other = parameter(2.0);
  ReferenceLion reference{1.5, 0.01, 0.1};
  const auto optimizer = make_optimizer(kLion);
  optimizer->enter_stage({{0.01, 0.1, {"w"}, {weight}}}, kLion);
  set_gradient(weight, 0.3);
  optimizer->step(1.0, 1.0);
  reference.step(0.3);
  optimizer->enter_stage({{0.01, 0.1, {"other"}, {other}}}, kLion);
  set_gradient(other, 0.5);
  optimizer->step(1.0, 1.0);
  EXPECT_NEAR(value_of(weight), reference.value, 1e-12) << "a frozen parameter moved";
  optimizer->enter_stage({{0.01, 0.1, {"w", "other"}, {weight, other}}}, kLion);
  set_gradient(weight, -0.02);  // outweighed by the mean, if it is still there
  set_gradient(other, 0.5);
  optimizer->step(1.0, 1.0);
  reference.step(-0.02);
  EXPECT_NEAR(value_of(weight), reference.value, 1e-12);
}

TEST(Lion, HasBetasOfItsOwnWhereNoneAreGiven) {
  const std::string file =
      "model.architecture = \"bert\"\ndata.file = \"a.h5\"\ntrain.optimizer = \"lion\"\n";
  const auto document = parse_configuration(file, "a.toml");
  EXPECT_EQ(document.configuration.train.beta1, 0.9);
  EXPECT_EQ(document.configuration.train.beta2, 0.99);
  EXPECT_NE(write_options_toml(document.configuration).find("beta2 = 0.99\n"), std::string::npos);
  const auto given = parse_configuration(file + "train.beta2 = 0.999\n", "a.toml");
  EXPECT_EQ(given.configuration.train.beta2, 0.999);
}

}  // namespace
}  // namespace thaw
