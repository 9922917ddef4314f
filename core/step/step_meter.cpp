#include "core/step/step_meter.h"

#include <ATen/core/Tensor.h>

#include "core/parallel/communicator.h"
#include "core/schedule/stage_plan.h"
#include "core/step/gradient_norm.h"
#include "core/step/parameter_table.h"

namespace thaw {

StepMeter::StepMeter(const TriggerNeeds& needs, const StagePlan& plan,
                     const ParameterTable& parameters, double seconds, Communicator& communicator)
    : needs_(needs), seconds_(seconds), communicator_(communicator) {
  for (const ParameterFacts& parameter : plan.parameters()) {
    const std::string& group = parameters.groups()[parameter.group];
    if (needs_.gradients.contains(group)) {
      parameters_[group].push_back(parameters.tensors()[parameters.index_of(parameter.name)]);
    }
  }
}

StepMeter::~StepMeter() = default;

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
    numbers.push_back(communicator_.rank() == 0 ? gradient_norm(tensors) : 0);
  }
  broadcast_numbers(communicator_, numbers);
  values.seconds = needs_.seconds ? numbers[0] : 0;
  std::size_t next = 1;
  for (const auto& [group, tensors] : parameters_) {
    values.gradient_norms[group] = numbers[next++];
  }
  return values;
}

}  // namespace thaw
