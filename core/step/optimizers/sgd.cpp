// Stochastic gradient descent with momentum, without dampening.
#include <ATen/ops/_fused_sgd.h>

#include "core/config/configuration.h"
#include "core/step/optimizers/registry.h"

namespace thaw {
namespace {

class FusedSgd final : public Optimizer {
 public:
  /// The momentum.
  FusedSgd() : Optimizer({"first"}, /*kernel_scales=*/true) {}

  bool goes_by_elements() const override { return true; }

 private:
  void read(const TrainOptions& options) override {
    momentum_ = options.momentum;
    nesterov_ = options.nesterov;
  }

  void update(Update& now) override {
    // A momentum that starts at zero, without dampening, gives the gradient itself in the first
    // step: no parameter needs the kernel's special first step, whenever it thaws.
    // Without momentum the kernel insists on having no buffers.
    const at::TensorList buffers = momentum_ != 0 ? at::TensorList(now.slots[0]) : at::TensorList();
    const auto run = [&](const auto& rate) {
      at::_fused_sgd_(now.parameters, now.gradients, buffers, now.weight_decay, momentum_, rate,
                      /*dampening=*/0.0, nesterov_, /*maximize=*/false, /*is_first_step=*/false,
                      now.gradient_scale, now.not_finite);
    };
    now.device_rate ? run(*now.device_rate) : run(now.learning_rate);
  }

  double momentum_ = 0;
  bool nesterov_ = false;
};

}  // namespace

std::unique_ptr<Optimizer> sgd_optimizer() { return std::make_unique<FusedSgd>(); }

}  // namespace thaw
