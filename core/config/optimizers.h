#pragma once

#include <optional>
#include <string>

#include "core/config/choices.h"

namespace thaw {

struct TrainOptions;

/// Values that an optimizer has of its own for options that are -1. None: it does not use them.
struct OptimizerDefaults {
  std::optional<double> beta1 = {}, beta2 = {};
};
OptimizerDefaults defaults_of(OptimizerKind kind);

/// "adamw 0.9": each optimizer's own default, for help.
std::string own_defaults(std::optional<double> OptimizerDefaults::*member);

/// `options` with the optimizer's own defaults in place of -1.
TrainOptions with_own_defaults(TrainOptions options);

}  // namespace thaw
