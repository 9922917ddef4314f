#include "core/step/step_meter.h"

#include <ATen/core/Tensor.h>

#include "core/parallel/communicator.h"
#include "core/parallel/sharded_state.h"
#include "core/schedule/stage_plan.h"
#include "core/step/gradient_norm.h"
#include "core/step/parameter_table.h"

namespace thaw {

StepMeter::StepMeter(const TriggerNeeds& needs, const StagePlan& plan,
                     const ParameterTable& parameters, double seconds, Communicator& communicator,
                     ShardedState* sharded)
    : needs_(needs), seconds_(seconds), communicator_(communicator), sharded_(sharded) {
  std::map<std::string, std::size_t> places;
  if (sharded != nullptr) {
    for (const ParameterSlice& slice : sharded->slices()) places.emplace(slice.name, places.size());
  }
  for (const ParameterFacts& parameter : plan.parameters()) {
    const std::string& group = parameters.groups()[parameter.group];
    if (needs_.gradients.contains(group)) {
      parameters_[group].push_back(parameters.tensors()[parameters.index_of(parameter.name)]);
      if (sharded != nullptr) slices_[group].push_back(places.at(parameter.name));
    }
  }
  for (const std::string& group : needs_.weights) {
    const bool measures = communicator.rank() == 0;
    weight_norms_[group] = measures ? weight_norm(parameters_.at(group)) : 0;
  }
}

StepMeter::~StepMeter() = default;

/// Rank 0's counts.
double StepMeter::norm_of(const std::string& group, const std::vector<at::Tensor>& tensors) {
  if (sharded_ == nullptr) return communicator_.rank() == 0 ? gradient_norm(tensors) : 0;
  const at::Tensor norm = sharded_->gradient_norm(slices_.at(group));
  return norm.defined() ? norm.item().toDouble() : 0;
}

StepValues StepMeter::measure(std::int64_t samples, double loss) {
  StepValues values;
  values.samples = samples;
  values.loss = needs_.loss ? loss : 0;
  if (!needs_.seconds && parameters_.empty()) {
    return values;
  }
  std::vector<double> numbers;
  numbers.push_back(seconds_ + watch_.seconds());
  for (const auto& [group, tensors] : parameters_) {
    numbers.push_back(norm_of(group, tensors));
  }
  for (const auto& [group, norm] : weight_norms_) numbers.push_back(norm);
  broadcast_numbers(communicator_, numbers);
  values.seconds = needs_.seconds ? numbers[0] : 0;
  std::size_t next = 1;
  for (const auto& [group, tensors] : parameters_) {
    values.gradient_norms[group] = numbers[next++];
  }
  for (const auto& [group, norm] : weight_norms_) values.weight_norms[group] = numbers[next++];
  return values;
}

}  // namespace thaw
