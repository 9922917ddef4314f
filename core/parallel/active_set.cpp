#include "core/parallel/active_set.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <unordered_map>

#include "core/base/error.h"
#include "core/parallel/tensor_checks.h"

namespace thaw {

ElementType element_type(const NamedTensor& parameter) {
  switch (parameter.tensor.scalar_type()) {
    case at::kFloat:
    case at::kHalf:
    case at::kComplexFloat:
      return ElementType::kFloat32;
    case at::kDouble:
    case at::kComplexDouble:
      return ElementType::kFloat64;
    case at::kBFloat16:
      return ElementType::kBFloat16;
    default:
      throw InputError(
          fmt::format("parameter \"{}\" is {}; gradients are of float32, float64, bfloat16, "
                      "float16, complex64 or complex128: convert it, or keep it frozen",
                      parameter.name, describe(parameter.tensor)));
  }
}

ParameterSplit split_by_plan(const StagePlan& plan, std::span<const NamedTensor> parameters) {
  ParameterSplit split;
  for (const NamedTensor& parameter : parameters) {
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

std::string gradient_set_fault(std::span<const NamedTensor> active,
                               std::span<const NamedTensor> frozen) {
  for (const NamedTensor& parameter : active) {
    if (!parameter.tensor.requires_grad()) {
      return fmt::format(
          "parameter \"{}\" is active in this stage but was frozen since it began; change stages "
          "through the coordinator",
          parameter.name);
    }
  }
  for (const NamedTensor& parameter : frozen) {
    if (parameter.tensor.requires_grad() || parameter.tensor.grad().defined()) {
      return fmt::format(
          "parameter \"{}\" is not active in this stage but was thawed since it began; change "
          "stages through the coordinator",
          parameter.name);
    }
  }
  return {};
}

std::vector<NamedTensor> without_ties(std::span<const NamedTensor> active,
                                      std::span<const NamedTensor> frozen) {
  std::unordered_map<const void*, const std::string*> name_of;
  std::vector<NamedTensor> unique;
  for (const NamedTensor& parameter : active) {
    const void* identity = parameter.tensor.unsafeGetTensorImpl();
    if (name_of.emplace(identity, &parameter.name).second) unique.push_back(parameter);
  }
  for (const NamedTensor& parameter : frozen) {
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

void drop_gradients(std::span<const NamedTensor> parameters) {
  for (const NamedTensor& parameter : parameters) {
    if (parameter.tensor.grad().defined()) parameter.tensor.mutable_grad().reset();
  }
}

}  // namespace thaw
