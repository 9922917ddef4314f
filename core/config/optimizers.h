#pragma once

#include <array>
#include <optional>
#include <string>
#include <string_view>

#include "core/config/choices.h"

namespace thaw {

struct TrainOptions;

/// The update rule: a line of core/config/optimizers.inc each. The list stands here, below the
/// optimizers themselves, since --help, errors and defaults need no more of them.
enum class OptimizerKind {
#define THAW_OPTIMIZER(type, name, ...) k##type,
#include "core/config/optimizers.inc"
#undef THAW_OPTIMIZER
};

inline constexpr auto kOptimizerNames = std::to_array<std::string_view>({
#define THAW_OPTIMIZER(type, name, ...) #name,
#include "core/config/optimizers.inc"
#undef THAW_OPTIMIZER
});
constexpr auto names_of(OptimizerKind) { return kOptimizerNames; }

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
