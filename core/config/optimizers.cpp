#include "core/config/optimizers.h"

#include <fmt/format.h>

#include <cstddef>

#include "core/config/configuration.h"

namespace thaw {
namespace {

constexpr OptimizerDefaults kDefaults[] = {
#define THAW_OPTIMIZER(type, name, ...) {__VA_ARGS__},
#include "core/config/optimizers.inc"
#undef THAW_OPTIMIZER
};

/// What files say for an optimizer that does not use the option: it reads back as it was written.
constexpr OptimizerDefaults kUnused{.beta1 = 0.9, .beta2 = 0.999};

}  // namespace

OptimizerDefaults defaults_of(OptimizerKind kind) {
  return kDefaults[static_cast<std::size_t>(kind)];
}

std::string own_defaults(std::optional<double> OptimizerDefaults::*member) {
  std::string text;
  for (std::size_t i = 0; i < kOptimizerNames.size(); ++i) {
    const std::optional<double>& value = kDefaults[i].*member;
    if (value) text += fmt::format("{}{} {}", text.empty() ? "" : ", ", kOptimizerNames[i], *value);
  }
  return text;
}

TrainOptions with_own_defaults(TrainOptions options) {
  const OptimizerDefaults own = defaults_of(options.optimizer);
  if (options.beta1 < 0) options.beta1 = own.beta1.value_or(*kUnused.beta1);
  if (options.beta2 < 0) options.beta2 = own.beta2.value_or(*kUnused.beta2);
  return options;
}

}  // namespace thaw
