// AdamW (Loshchilov and Hutter 2019): Adam with decoupled weight decay.
#include <ATen/ops/_fused_adamw.h>

#include "core/config/configuration.h"
#include "core/step/optimizers/registry.h"

namespace thaw {
namespace {

class FusedAdamW final : public Optimizer {
 public:
  /// Means of gradients and of their squares.
  FusedAdamW() : Optimizer({"first", "second"}, /*kernel_scales=*/true) {}

  bool goes_by_elements() const override { return true; }

 private:
  void read(const TrainOptions& options) override {
    beta1_ = options.beta1;
    beta2_ = options.beta2;
    epsilon_ = options.epsilon;
  }

  void update(Update& now) override {
    // The kernel divides by 1 - beta^step and does not advance the counts itself: with a count of
    // zero it would turn parameters into NaN.
    const auto run = [&](const auto& rate) {
      at::_fused_adamw_(now.parameters, now.gradients, now.slots[0], now.slots[1], {}, now.steps,
                        rate, beta1_, beta2_, now.weight_decay, epsilon_, /*amsgrad=*/false,
                        /*maximize=*/false, now.gradient_scale, now.not_finite);
    };
    now.device_rate ? run(*now.device_rate) : run(now.learning_rate);
  }

  double beta1_ = 0, beta2_ = 0, epsilon_ = 0;
};

}  // namespace

std::unique_ptr<Optimizer> adamw_optimizer() { return std::make_unique<FusedAdamW>(); }

}  // namespace thaw
