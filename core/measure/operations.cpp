#include "core/measure/operations.h"

#include <ATen/core/Tensor.h>

#include <algorithm>
#include <set>

#include "core/config/configuration.h"
#include "core/data/dataset.h"
#include "core/data/loading/training_loader.h"
#include "core/models/model.h"
#include "core/parallel/one_rank.h"
#include "core/schedule/stage_plan.h"
#include "core/step/freezer.h"
#include "core/step/gradient_pass.h"
#include "core/step/parameter_table.h"
#include "core/tasks/task.h"

namespace thaw {

void StageFlops::add(const Flops& flops, std::int64_t samples) {
  counted_ += flops;
  samples_ += samples;
}

Flops StageFlops::per_sample() const {
  return samples_ == 0 ? Flops{} : counted_ * (1 / static_cast<double>(samples_));
}

Flops measure_flops(Model& model, const BatchNorms& batch_norms, const Dataset& dataset,
                    const Task& task, const ParameterTable& parameters, Freezer& freezer,
                    const Stage& stage, const DataOptions& data, const TrainOptions& train) {
  const StagePlan plan = make_stage_plan(parameters.groups(), parameters.facts(), stage);
  std::set<std::string> active;
  for (const ParameterFacts& parameter : plan.parameters()) active.insert(parameter.name);
  freezer.apply(active);
  model.weights_changed();
  std::vector<NamedTensor> trained;
  std::vector<NamedTensor> frozen;
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    const std::string& name = parameters.facts()[i].name;
    (active.contains(name) ? trained : frozen).push_back({name, parameters.tensors()[i]});
  }
  TrainingLoader loader(dataset,
                        {.batch = std::min<std::int64_t>(data.batch, 16),
                         .seed = static_cast<std::uint64_t>(data.seed),
                         .crop_padding = data.crop_padding,
                         .horizontal_flip = data.horizontal_flip},
                        /*cursor=*/0);
  const Batch batch = loader.next().batch;
  const SampleShare share{batch.size(), batch.size()};
  GradientPass pass(model, batch_norms,
                    {.task = &task, .micro_batch = {train.micro_batch, train.micro_batch_tokens}});
  const std::unique_ptr<GradientReducer> reducer = make_local_reducer(trained, frozen);
  reducer->begin(share);
  StageFlops flops;
  {
    const FlopCounter counter(parameters.tensors());
    pass.run(batch, share, task.weight(batch), plan.cut(), *reducer);
    flops.add(counter.flops(), share.samples);
  }
  reducer->finish();
  reducer->begin(share);  // drops the gradients
  return flops.per_sample();
}

}  // namespace thaw
