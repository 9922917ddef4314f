#include "core/parallel/active_parameters.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "core/base/error.h"
#include "core/parallel/tensor_checks.h"

namespace thaw {

ElementType element_type(const NamedParameter& parameter) {
  switch (parameter.tensor.scalar_type()) {
    case at::kFloat:
      return ElementType::kFloat32;
    case at::kDouble:
      return ElementType::kFloat64;
    case at::kBFloat16:
      return ElementType::kBFloat16;
    default:
      throw InputError(
          fmt::format("parameter \"{}\" is {}; gradients are reduced in float32, float64 or "
                      "bfloat16: convert it, or keep it frozen",
                      parameter.name, describe(parameter.tensor)));
  }
}

ParameterSplit split_by_plan(const StagePlan& plan, std::span<const NamedParameter> parameters) {
  ParameterSplit split;
  for (const NamedParameter& parameter : parameters) {
    const std::size_t next = split.active.size();
    if (next == plan.parameters().size() || plan.parameters()[next].name != parameter.name) {
      split.frozen.push_back(parameter);
      continue;
    }
    const ParameterFacts& planned = plan.parameters()[next];
    if (parameter.tensor.sizes() != at::IntArrayRef(planned.shape) ||
        element_type(parameter) != planned.type) {
      throw InputError(fmt::format("stage \"{}\" plans parameter \"{}\" as {} [{}], but it is {}",
                                   plan.stage(), planned.name, name_of(planned.type),
                                   fmt::join(planned.shape, ", "), describe(parameter.tensor)));
    }
    split.active.push_back(parameter);
  }
  if (split.active.size() < plan.parameters().size()) {
    throw InputError(fmt::format(
        "stage \"{}\" plans parameter \"{}\", which the model lacks or declares elsewhere",
        plan.stage(), plan.parameters()[split.active.size()].name));
  }
  return split;
}

}  // namespace thaw
