#include "core/parallel/gradient_set.h"

#include <fmt/format.h>

#include <unordered_map>

#include "core/base/error.h"

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

std::vector<NamedParameter> without_ties(std::span<const NamedParameter> active,
                                         std::span<const NamedParameter> frozen) {
  std::unordered_map<const void*, const std::string*> name_of;
  std::vector<NamedParameter> unique;
  for (const NamedParameter& parameter : active) {
    const void* identity = parameter.tensor.unsafeGetTensorImpl();
    if (name_of.emplace(identity, &parameter.name).second) unique.push_back(parameter);
  }
  for (const NamedParameter& parameter : frozen) {
    const auto tied = name_of.find(parameter.tensor.unsafeGetTensorImpl());
    if (tied != name_of.end()) {
      throw InputError(fmt::format(
          "parameters \"{}\" and \"{}\" are one tensor, of which one is to be active and one "
          "frozen: put both into one group",
          *tied->second, parameter.name));
    }
  }
  return unique;
}

void drop_gradients(std::span<const NamedParameter> parameters) {
  for (const NamedParameter& parameter : parameters) {
    if (parameter.tensor.grad().defined()) parameter.tensor.mutable_grad().reset();
  }
}

}  // namespace thaw
