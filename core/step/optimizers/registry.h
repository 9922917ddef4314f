#pragma once

#include <memory>

#include "core/step/optimizer.h"

namespace thaw {

/// The optimizer that `options` name: one of core/config/optimizers.inc.
std::unique_ptr<Optimizer> make_optimizer(const TrainOptions& options);

// Each defined in its own file.
#define THAW_OPTIMIZER(type, name, ...) std::unique_ptr<Optimizer> name##_optimizer();
#include "core/config/optimizers.inc"
#undef THAW_OPTIMIZER

}  // namespace thaw
