#include "core/train/prefix/prefix_rules.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "core/base/error.h"
#include "core/config/configuration.h"
#include "core/data/order/batch_plan.h"
#include "core/models/model.h"
#include "core/models/module_model.h"
#include "core/schedule/end_condition.h"
#include "core/schedule/schedule_run.h"
#include "core/schedule/stage_length.h"
#include "core/schedule/stage_options.h"
#include "core/schedule/stage_plan.h"
#include "core/step/parameter_table.h"

namespace thaw {
namespace {

/// A batch normalisation before `cut` whose running statistics move, "" where none does.
std::string live_batch_norm(const TrainOptions& train, const Model& model,
                            const ParameterTable& parameters, std::size_t cut) {
  if (train.frozen_batch_norm == FrozenBatchNorm::kKeep) return {};
  for (const auto& item : model.named_modules(std::string(), /*include_self=*/false)) {
    const torch::nn::Module& layer = *item.value();
    if (!layer.named_buffers(/*recurse=*/false).contains("running_mean")) continue;
    const auto own = layer.named_parameters(/*recurse=*/false);
    bool before = own.is_empty();
    for (const auto& each : own) {
      const ParameterFacts& facts =
          parameters.facts()[parameters.index_of(item.key() + "." + each.key())];
      before = before || facts.place.value_or(facts.group) < cut;
    }
    if (before) return item.key();
  }
  return {};
}

[[noreturn]] void refuse(const std::string& why) {
  InputError error("train.prefix-cache: is \"on\", but " + why + "; leave it at \"auto\"");
  error.mark_agreed();
  throw error;
}

std::int64_t steps_left(const Stage& stage, std::int64_t begun_at, std::int64_t done,
                        std::int64_t train_samples, std::int64_t batch) {
  const auto most = steps_of_stage(stage.until, begun_at, train_samples, batch);
  // Where nobody knows, an epoch.
  const std::int64_t steps =
      most.value_or(done + steps_to_consume(train_samples, {begun_at, train_samples, batch}));
  return std::max<std::int64_t>(0, steps - done);
}

}  // namespace

std::size_t lowest_cut(const Stage& stage, const ParameterTable& parameters,
                       const TrainOptions& train) {
  return make_stage_plan(parameters.groups(), parameters.facts(), stage, train).cut();
}

std::string changing_prefix(const TrainOptions& train, const Model& model,
                            const ParameterTable& parameters, std::size_t cut) {
  if (train.frozen_dropout == FrozenDropout::kOn) {
    return "dropout of frozen layers is on (frozen-dropout)";
  }
  const std::string norm = live_batch_norm(train, model, parameters, cut);
  if (!norm.empty()) {
    return fmt::format(
        "running statistics of the frozen batch normalisation \"{}\" move (frozen-batch-norm)",
        norm);
  }
  return {};
}

std::string changing_samples(const DataOptions& data) {
  if (data.crop_padding > 0 || data.horizontal_flip) {
    return fmt::format("each image is drawn anew (data.{})",
                       data.crop_padding > 0 ? "crop-padding" : "horizontal-flip");
  }
  return {};
}

void check_prefix_cache(const TrainOptions& train, const DataOptions& data, const Model& model,
                        const ParameterTable& parameters, const Schedule& schedule) {
  if (train.prefix_cache != PrefixCacheUse::kOn) return;
  if (dynamic_cast<const ModuleModel*>(&model) != nullptr) {
    refuse("this model does not run group by group");
  }
  const std::string samples = changing_samples(data);
  if (!samples.empty()) refuse(samples);
  bool any = false;
  for (const Stage& stage : schedule.stages) {
    const std::size_t cut = lowest_cut(stage, parameters, train);
    if (cut == 0) {
      if (stage.policy) {
        refuse(fmt::format("the policy of stage \"{}\" may thaw the first group", stage.name));
      }
      continue;
    }
    any = true;
    const std::string why = changing_prefix(resolve(train, stage), model, parameters, cut);
    if (!why.empty()) refuse(fmt::format("in stage \"{}\" {}", stage.name, why));
  }
  if (!any) refuse("every stage trains the model's first group: nothing before it is frozen");
}

std::vector<PrefixStage> prefix_stages(const Schedule& schedule, const ScheduleRun& run,
                                       std::int64_t cursor, std::int64_t train_samples,
                                       const TrainOptions& train, const DataOptions& data,
                                       const Model& model, const ParameterTable& parameters) {
  std::vector<PrefixStage> stages;
  std::size_t boundary = model.groups().size();
  for (std::size_t s = run.state().stage; s < schedule.stages.size(); ++s) {
    const Stage& stage = schedule.stages[s];
    boundary = std::min(boundary, lowest_cut(stage, parameters, train));
    if (boundary == 0 ||
        !changing_prefix(resolve(train, stage), model, parameters, boundary).empty()) {
      break;
    }
    const bool runs = s == run.state().stage;
    const StageProgress done = runs ? run.state().progress : StageProgress{};
    const std::int64_t steps =
        steps_left(stage, cursor - done.samples, done.steps, train_samples, data.batch);
    const std::int64_t end = advance_cursor(cursor, steps, train_samples, data.batch);
    const auto samples = static_cast<double>(end - cursor);
    const double evaluations =
        train.evaluate_every > 0
            ? static_cast<double>(steps) / static_cast<double>(train.evaluate_every)
            : samples / static_cast<double>(train_samples);
    stages.push_back({boundary, samples, std::ceil(evaluations)});
    cursor = end;
  }
  return stages;
}

std::vector<std::int64_t> forward_sizes(const ForwardSizes& of) {
  std::set<std::int64_t> sizes;
  const auto add = [&](std::int64_t size) {
    if (size > 0) sizes.insert(std::min(size, of.samples));
  };
  for (const std::int64_t batch :
       {std::min(of.batch, of.samples), of.samples % std::max<std::int64_t>(1, of.batch)}) {
    const auto longest = static_cast<std::int64_t>(balanced_piece({0, batch}, 0, of.pieces).size());
    for (std::int64_t piece = 0; piece < of.pieces; ++piece) {
      const auto share =
          static_cast<std::int64_t>(balanced_piece({0, batch}, piece, of.pieces).size());
      if (of.micro_batch == 0 || share == 0) {
        add(share);
        continue;
      }
      // As micro_batches_of cuts: evenly, by this share or, where norms are shared, the longest.
      for (const std::int64_t counted : {share, longest}) {
        const std::int64_t cuts = (counted - 1) / of.micro_batch + 1;
        add(static_cast<std::int64_t>(balanced_piece({0, share}, 0, cuts).size()));
        add(static_cast<std::int64_t>(balanced_piece({0, share}, cuts - 1, cuts).size()));
      }
    }
  }
  if (of.text) {
    for (const std::int64_t size : {1, 2, 3, 5}) add(size);
  }
  return {sizes.begin(), sizes.end()};
}

}  // namespace thaw
