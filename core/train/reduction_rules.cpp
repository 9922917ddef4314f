#include "core/train/reduction_rules.h"

#include <ATen/core/Tensor.h>
#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <string>

#include "core/base/error.h"
#include "core/config/configuration.h"
#include "core/models/model.h"
#include "core/parallel/communicator.h"
#include "core/schedule/schedule.h"
#include "core/schedule/stage_options.h"
#include "core/step/optimizer.h"
#include "core/step/parameter_table.h"
#include "core/train/trainer.h"

namespace thaw {
namespace {

[[noreturn]] void refuse(const std::string& why) {
  InputError error(why);
  error.mark_agreed();
  throw error;
}

/// The batch normalisation, and the stage, that takes statistics first; nothing where none does.
std::string statistics_taken(const TrainOptions& train, const Model& model,
                             const Schedule& schedule) {
  const ParameterTable table(model, /*decay_all=*/false);
  for (const auto& item : model.named_modules(std::string(), /*include_self=*/false)) {
    const torch::nn::Module& layer = *item.value();
    if (!layer.named_buffers(/*recurse=*/false).contains("running_mean")) continue;
    std::set<std::string> groups;
    for (const auto& own : layer.named_parameters(/*recurse=*/false)) {
      const ParameterFacts& facts = table.facts()[table.index_of(item.key() + "." + own.key())];
      groups.insert(table.groups()[facts.group]);
    }
    for (const Stage& stage : schedule.stages) {
      const bool active =
          groups.empty() || std::any_of(stage.groups.begin(), stage.groups.end(),
                                        [&](const auto& group) { return groups.contains(group); });
      if (active || resolve(train, stage).frozen_batch_norm == FrozenBatchNorm::kUpdate) {
        return fmt::format("batch normalisation \"{}\" in stage \"{}\"", item.key(), stage.name);
      }
    }
  }
  return {};
}

}  // namespace

std::int64_t canonical_shards(const TrainOptions& train) {
  return train.reduction == Reduction::kCanonical ? train.shards : 0;
}

void check_reduction(const TrainOptions& train, const Model& model, const Schedule& schedule,
                     int ranks) {
  if (canonical_shards(train) == 0) return;
  if (train.shards < ranks) {
    refuse(
        fmt::format("train.shards: is {}, and there are {} ranks: with train.reduction = "
                    "\"canonical\" each needs a shard of the batch",
                    train.shards, ranks));
  }
  if (train.threads == 0) {
    refuse(
        "train.reduction: \"canonical\" needs train.threads, since what is added up depends on it: "
        "give the number of cores that a rank has wherever the run is to go on");
  }
  if (train.micro_batch > 0 || train.micro_batch_tokens > 0) {
    refuse(fmt::format(
        "train.micro-batch{}: \"canonical\" runs each shard as it is; raise train.shards "
        "for smaller ones instead",
        train.micro_batch > 0 ? "" : "-tokens"));
  }
  const std::vector<at::Tensor> parameters = model.parameters(/*recurse=*/true);
  if (std::any_of(parameters.begin(), parameters.end(),
                  [](const at::Tensor& each) { return !each.is_cpu(); })) {
    refuse("train.reduction: \"canonical\" is for CPUs; set train.device to \"cpu\"");
  }
  const std::string statistics = statistics_taken(train, model, schedule);
  if (!statistics.empty()) {
    refuse(
        fmt::format("train.reduction: \"canonical\" knows no statistics over the batch, which {} "
                    "takes: freeze it, with train.frozen-batch-norm \"keep\"",
                    statistics));
  }
}

bool state_is_sharded(const TrainerParts& parts) {
  return parts.sharding != Sharding::kNone && parts.communicator.size() > 1;
}

void check_sharding(const DistributedOptions& distributed, const TrainOptions& train) {
  if (distributed.sharding == Sharding::kNone || canonical_shards(train) > 0) return;
  if (distributed.wire == GradientWire::kBFloat16) {
    refuse(
        "distributed.wire: \"bfloat16\" rounds whole sums, and distributed.sharding sums to "
        "slices: "
        "set this to \"same\", or that to \"none\"");
  }
}

void check_sharding(const Optimizer& optimizer, const ParameterTable& parameters) {
  if (!optimizer.goes_by_elements()) {
    refuse(
        "distributed.sharding: the optimizer does not say that it goes by elements "
        "(Optimizer::goes_by_elements), and one that looks at whole tensors would make something "
        "else of slices; set it to \"none\"");
  }
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    if (parameters.tensors()[i].is_contiguous()) continue;
    refuse(fmt::format(
        "distributed.sharding: parameter \"{}\" does not lie in memory in row-major order, so it "
        "cannot be cut into slices; set it to \"none\"",
        parameters.facts()[i].name));
  }
}

void check_micro_batches(const TrainOptions& train, bool text) {
  if (train.micro_batch_tokens == 0) return;
  if (!text) refuse("train.micro-batch-tokens: is for text; images take train.micro-batch");
  if (train.micro_batch > 0) {
    refuse(
        "train.micro-batch-tokens: cuts by tokens what train.micro-batch cuts by samples: give "
        "one of them");
  }
}

}  // namespace thaw
