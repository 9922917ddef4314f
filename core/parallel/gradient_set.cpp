#include "core/parallel/gradient_set.h"

#include <fmt/format.h>

namespace thaw {

std::string gradient_set_fault(std::span<const NamedParameter> active,
                               std::span<const NamedParameter> frozen) {
  for (const NamedParameter& parameter : active) {
    if (!parameter.tensor.requires_grad()) {
      return fmt::format(
          "parameter \"{}\" is active in this stage but was frozen since it began; change stages "
          "through the coordinator",
          parameter.name);
    }
  }
  for (const NamedParameter& parameter : frozen) {
    if (parameter.tensor.requires_grad() || parameter.tensor.grad().defined()) {
      return fmt::format(
          "parameter \"{}\" is not active in this stage but was thawed since it began; change "
          "stages through the coordinator",
          parameter.name);
    }
  }
  return {};
}

void drop_gradients(std::span<const NamedParameter> parameters) {
  for (const NamedParameter& parameter : parameters) {
    if (parameter.tensor.grad().defined()) parameter.tensor.mutable_grad().reset();
  }
}

}  // namespace thaw
