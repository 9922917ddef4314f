// Lion (Chen et al. 2023, "Symbolic discovery of optimization algorithms", algorithm 2): steps of
// one size, in the direction of a mean's signs, with decoupled weight decay. Half the state of
// AdamW. The paper takes learning rates 3 to 10 times smaller than AdamW's, and decay that much
// larger.
#include <ATen/ops/_foreach_add.h>
#include <ATen/ops/_foreach_mul.h>
#include <ATen/ops/_foreach_sign.h>

#include "core/config/configuration.h"
#include "core/step/optimizers/registry.h"

namespace thaw {
namespace {

class Lion final : public Optimizer {
 public:
  /// The mean of gradients.
  Lion() : Optimizer({"first"}) {}

  bool goes_by_elements() const override { return true; }

 private:
  void read(const TrainOptions& options) override {
    beta1_ = options.beta1;
    beta2_ = options.beta2;
  }

  void update(Update& now) override {
    std::vector<at::Tensor>& mean = now.slots[0];
    // The step looks further towards the new gradient than the mean that is kept.
    std::vector<at::Tensor> direction = at::_foreach_mul(mean, beta1_);
    at::_foreach_add_(direction, now.gradients, 1 - beta1_);
    at::_foreach_sign_(direction);
    if (now.weight_decay != 0) {
      at::_foreach_mul_(now.parameters, 1 - now.learning_rate * now.weight_decay);
    }
    at::_foreach_add_(now.parameters, direction, -now.learning_rate);
    at::_foreach_mul_(mean, beta2_);
    at::_foreach_add_(mean, now.gradients, 1 - beta2_);
  }

  double beta1_ = 0, beta2_ = 0;
};

}  // namespace

std::unique_ptr<Optimizer> lion_optimizer() { return std::make_unique<Lion>(); }

}  // namespace thaw
