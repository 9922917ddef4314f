#include "core/step/optimizers/registry.h"

#include "core/config/configuration.h"

namespace thaw {

std::unique_ptr<Optimizer> make_optimizer(const TrainOptions& options) {
  static constexpr std::unique_ptr<Optimizer> (*kMakers[])() = {
#define THAW_OPTIMIZER(type, name, ...) name##_optimizer,
#include "core/config/optimizers.inc"
#undef THAW_OPTIMIZER
  };
  return kMakers[static_cast<std::size_t>(options.optimizer)]();
}

}  // namespace thaw
