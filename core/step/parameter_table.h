#pragma once

#include <ATen/core/Tensor.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "core/schedule/stage_plan.h"

namespace thaw {

class Model;

/// A model's parameters in order of declaration, with the group each belongs to: what a stage plan
/// is made from, and what its indexes and names refer to.
class ParameterTable {
 public:
  /// `decay_all`: weight decay applies to biases and norms too (one-dimensional parameters).
  /// Throws `InputError` naming a parameter that belongs to no group or to several.
  ParameterTable(const Model& model, bool decay_all);

  /// What freezes and thaws: the model's own groups, or the user's.
  const std::vector<std::string>& groups() const { return groups_; }
  /// What runs one after another: the model's own groups. `ParameterFacts::place` and
  /// `StagePlan::cut` are indices of these.
  const std::vector<std::string>& places() const { return places_; }
  const std::vector<ParameterFacts>& facts() const { return facts_; }
  const std::vector<at::Tensor>& tensors() const { return tensors_; }
  std::size_t size() const { return facts_.size(); }

  /// Elements of all parameters of each group.
  std::vector<std::int64_t> elements_by_group() const;
  /// Index of a parameter by its name, which must exist.
  std::size_t index_of(const std::string& name) const;

 private:
  std::vector<std::string> groups_, places_;
  std::vector<ParameterFacts> facts_;
  std::vector<at::Tensor> tensors_;
};

}  // namespace thaw
