#include "core/step/parameter_table.h"

#include <algorithm>
#include <map>

#include "core/base/error.h"
#include "core/models/groups.h"
#include "core/models/model.h"

namespace thaw {
namespace {

ElementType element_type(const std::string& name, const at::Tensor& tensor) {
  switch (tensor.scalar_type()) {
    case at::kFloat:
      return ElementType::kFloat32;
    case at::kDouble:
      return ElementType::kFloat64;
    case at::kBFloat16:
      return ElementType::kBFloat16;
    default:
      throw InputError("parameter " + name + " is of type " +
                       std::string(c10::toString(tensor.scalar_type())) +
                       "; trainable are float32, float64 and bfloat16");
  }
}

}  // namespace

ParameterTable::ParameterTable(const Model& model, bool decay_all) {
  std::map<std::string, std::size_t> group_of, place_of;
  for (const GroupTensors& group : resolve_groups(model, model.freezing_groups())) {
    for (const NamedTensor& parameter : group.parameters) {
      group_of[parameter.name] = groups_.size();
    }
    groups_.push_back(group.name);
  }
  for (const GroupTensors& place : resolve_groups(model, model.groups())) {
    for (const NamedTensor& parameter : place.parameters) {
      place_of[parameter.name] = places_.size();
    }
    places_.push_back(place.name);
  }
  // In order of declaration: what the buckets' first generation is the reverse of.
  for (const auto& parameter : model.named_parameters()) {
    const auto group = group_of.find(parameter.key());
    if (group == group_of.end()) {
      continue;  // a tied parameter under its second name
    }
    const at::Tensor& tensor = parameter.value();
    facts_.push_back({.name = parameter.key(),
                      .shape = tensor.sizes().vec(),
                      .type = element_type(parameter.key(), tensor),
                      .group = group->second,
                      .decays = decay_all || tensor.dim() > 1,
                      .place = place_of.at(parameter.key())});
    tensors_.push_back(tensor);
  }
}

std::vector<std::int64_t> ParameterTable::elements_by_group() const {
  std::vector<std::int64_t> elements(groups_.size(), 0);
  for (const ParameterFacts& parameter : facts_) {
    elements[parameter.group] += parameter.elements();
  }
  return elements;
}

std::size_t ParameterTable::index_of(const std::string& name) const {
  const auto found = std::find_if(facts_.begin(), facts_.end(),
                                  [&](const ParameterFacts& fact) { return fact.name == name; });
  return static_cast<std::size_t>(found - facts_.begin());
}

}  // namespace thaw
