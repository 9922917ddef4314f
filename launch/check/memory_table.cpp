#include "launch/check/memory_table.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "core/base/system.h"
#include "core/data/dataset.h"
#include "core/models/model_bytes.h"
#include "core/schedule/stage_options.h"
#include "core/schedule/stage_plan.h"
#include "core/step/optimizers/registry.h"
#include "core/step/parameter_table.h"
#include "core/step/sharing/host_weights.h"
#include "core/train/best/best_weights.h"
#include "core/train/reduction_rules.h"
#include "dist/communicator/host_topology.h"
#include "dist/reduction/row_reduction.h"
#include "dist/reduction/sharding/rank_memory.h"
#include "launch/check/checkpoints_within.h"
#include "launch/check/memory_trial.h"
#include "launch/run/evaluation_setup.h"
#include "launch/run/run_setup.h"
#include "launch/terminal/text_table.h"
#include "launch/terminal/text_width.h"

namespace thaw {
namespace {

constexpr std::size_t kColumns = 80;

std::vector<BucketEntry> active_entries(const StagePlan& plan, const ParameterTable& parameters) {
  std::vector<BucketEntry> entries;
  for (const ParameterFacts& facts : plan.parameters()) {
    const at::Tensor& tensor = parameters.tensors()[parameters.index_of(facts.name)];
    entries.push_back({.name = facts.name,
                       .shape = facts.shape,
                       .strides = {},
                       .type = facts.type,
                       .device = tensor.is_cuda() ? "cuda" : "cpu",
                       .by_rows = may_travel_by_rows(tensor)});
  }
  return entries;
}

RankMemory most_of(const std::vector<RankMemory>& ranks) {
  return *std::max_element(
      ranks.begin(), ranks.end(),
      [](const RankMemory& a, const RankMemory& b) { return a.sum() < b.sum(); });
}

/// Of a stage, what the plans of buckets and slices say.
struct PlannedStage {
  RankMemory rank;            ///< of the one with the most
  std::int64_t messages = 0;  ///< what MPI takes
  std::int64_t waiting = 0;   ///< best weights that wait for their file
};

/// The most ranks of this host that are counted on, since nobody says where ranks will be: as many
/// as it has cores for, or four, as in trials on a small machine.
int ranks_of_host(int ranks) {
  const auto cores = static_cast<int>(physical_cores(allowed_cpus()).size());
  return std::min(ranks, std::max(cores, 4));
}

std::vector<PlannedStage> planned_memory(const RunSetup& setup, const Schedule& schedule,
                                         int ranks) {
  const Configuration& configuration = setup.configuration();
  const ParameterTable parameters(*setup.model, configuration.train.decay_norms_and_biases);
  std::vector<std::vector<BucketEntry>> active;
  std::vector<std::int64_t> waiting;
  for (const Stage& stage : schedule.stages) {
    const StagePlan plan =
        make_stage_plan(parameters.groups(), parameters.facts(), stage, configuration.train);
    active.push_back(active_entries(plan, parameters));
    const bool evaluates = setup.dataset->has_split("validation");
    const bool in_segments = static_cast<bool>(stage.policy);
    waiting.push_back(evaluates ? most_waiting(plan, *setup.model, in_segments) : 0);
  }
  MemoryQuestion question;
  question.ranks = ranks;
  question.sharding = configuration.distributed.sharding;
  question.buckets.cap_bytes = configuration.distributed.bucket_bytes;
  question.buckets.by_rows = configuration.distributed.embedding_rows == EmbeddingRows::kAuto;
  question.shards = canonical_shards(configuration.train);
  question.slots = static_cast<std::int64_t>(make_optimizer(configuration.train)->slots().size());
  question.weights = bytes_of_model(*setup.model);
  question.state_is_kept = configuration.distributed.frozen_state != FrozenStatePlace::kDisk;
  const auto of_stages = memory_of_stages(active, question);
  const std::unique_ptr<HostWeights> in_host_memory = host_weights_of(*setup.model, parameters);
  std::vector<PlannedStage> planned;
  std::int64_t messages = 0;  // what MPI has taken it keeps
  for (std::size_t i = 0; i < active.size(); ++i) {
    messages = std::max(messages, message_bytes(active[i], question, ranks_of_host(ranks)));
    planned.push_back({most_of(of_stages[i]), messages, waiting[i]});
    if (!in_host_memory) continue;
    std::set<std::string> names;
    for (const BucketEntry& entry : active[i]) names.insert(entry.name);
    planned.back().rank.weights -= in_host_memory->bytes_saved(names);
  }
  return planned;
}

/// What a run has beside its trainer: watches and their threads, logs, files of weights on their
/// way out. It does not follow the network's size: files are written from where tensors lie.
/// Measured with Open MPI 4.1; tests/launch/command_memory_test.py and
/// cluster/benchmarks/memory_forecast.py compare the whole with runs.
constexpr std::int64_t kRun = 8 << 20;

/// Of what a rank of several takes beyond program and weights, the part by which runs of one
/// command differ from each other (1.5 % of the sum) and from what was tried alone: 12 stages of
/// MiniLM on 2 and 4 ranks took from what is told to 7 % less
/// (cluster/benchmarks/memory_forecast.py). Too much is told rather than too little.
constexpr double kRoomOfRanks = 0.06;

/// The memory that a rank keeps from its first checkpoint on, from which each is written: its part
/// of weights and state; what is cut into slices is its own.
std::int64_t snapshot_bytes(const RankMemory& memory, const Configuration& configuration,
                            int ranks) {
  const bool sharded = configuration.distributed.sharding != Sharding::kNone;
  return memory.weights / ranks + (sharded ? memory.state : memory.state / ranks);
}

/// Beside what a trial sees, in each stage.
std::vector<std::int64_t> beside_the_trial(const RunSetup& setup, const Schedule& schedule,
                                           const std::vector<PlannedStage>& planned, int ranks) {
  const Configuration& configuration = setup.configuration();
  const std::int64_t every = configuration.checkpoint.every_steps;
  const std::vector<bool> within =
      checkpoints_within(schedule, {.every = every,
                                    .train_samples = setup.dataset->split("train").size(),
                                    .batch = configuration.data.batch});
  const std::int64_t throughout = kRun + retention_bytes(setup);
  std::vector<std::int64_t> result;
  std::int64_t snapshot = 0;
  // The memory that the first checkpoint took serves those that follow.
  const auto saved = [&](std::size_t stage) {
    snapshot = std::max(snapshot, snapshot_bytes(planned[stage].rank, configuration, ranks));
  };
  for (std::size_t i = 0; i < planned.size(); ++i) {
    if (i > 0 && every >= 0) saved(i - 1);  // at the transition, the state of the stage that ended
    if (within[i]) saved(i);
    const bool best = schedule.stages[i].restore_best.has_value();  // weights kept beside
    result.push_back(throughout + snapshot + planned[i].messages + planned[i].waiting +
                     (best ? planned[i].rank.weights : 0));
  }
  return result;
}

std::string planned_table(const Schedule& schedule, const std::vector<PlannedStage>& planned) {
  TextTable table({"stage", ">weights", ">gradients", ">optimizer\nstate", ">passing", ">sum"});
  for (std::size_t i = 0; i < planned.size(); ++i) {
    const RankMemory& most = planned[i].rank;
    table.row({schedule.stages[i].name, bytes_text(most.weights), bytes_text(most.gradients),
               bytes_text(most.state), bytes_text(most.passing), bytes_text(most.sum())});
  }
  return table.text(kColumns);
}

std::string tried_table(const Schedule& schedule, const std::vector<PlannedStage>& planned,
                        const MemoryTrial& trial, std::vector<std::int64_t> beside, int ranks) {
  TextTable table({"stage", ">program", ">weights", ">gradi-\nents", ">optimizer\nstate",
                   ">activa-\ntions", ">buffers", ">sum"});
  for (std::size_t i = 0; i < planned.size(); ++i) {
    const RankMemory& most = planned[i].rank;
    const std::int64_t seen = trial.stages[i] - trial.program - most.sum();
    if (ranks > 1 && !trial.ragged) {  // there is room already
      const std::int64_t own = trial.stages[i] - trial.program - most.weights;
      beside[i] += static_cast<std::int64_t>(kRoomOfRanks * static_cast<double>(own));
    }
    const auto activations =
        static_cast<std::int64_t>(std::max(0.0, trial.fuller * static_cast<double>(seen)));
    const std::int64_t sum =
        trial.stages[i] + beside[i] + std::max<std::int64_t>(0, activations - seen);
    table.row({schedule.stages[i].name, bytes_text(trial.program), bytes_text(most.weights),
               bytes_text(most.gradients), bytes_text(most.state), bytes_text(activations),
               bytes_text(most.passing + beside[i]), bytes_text(sum)});
  }
  return table.text(kColumns);
}

/// What the table is of, as lines of a narrow terminal.
std::string about_ranks(const RunSetup& setup, int ranks, const std::string& more) {
  const std::string text = fmt::format(
      "of memory on each of {} rank{} (the largest), distributed.sharding \"{}\"; {}", ranks,
      ranks == 1 ? "" : "s", name_of(setup.configuration().distributed.sharding), more);
  return wrapped(text, kColumns, "  ", "  ");
}

}  // namespace

std::string memory_table(RunSetup& setup, const Schedule& schedule, int ranks) {
  const std::vector<PlannedStage> planned = planned_memory(setup, schedule, ranks);
  std::int64_t most = 0;
  for (const PlannedStage& stage : planned) {
    most = std::max(most, stage.rank.sum() - stage.rank.weights);
  }
  if (const std::int64_t available = available_memory(); !setup.gpu && most > available) {
    const bool kept = setup.configuration().distributed.frozen_state != FrozenStatePlace::kDisk;
    const std::string state = kept ? "is kept (optimizer-state \"keep\")"
                                   : "waits on disk (distributed.frozen-state \"disk\")";
    return planned_table(schedule, planned) +
           about_ranks(setup, ranks,
                       fmt::format("passing: gradients that come and go within a step. No step was "
                                   "tried: there are {} to be had here. Activations, data and the "
                                   "program itself are not counted; state of what freezes {}",
                                   bytes_text(available), state));
  }
  const std::vector<std::int64_t> beside = beside_the_trial(setup, schedule, planned, ranks);
  const MemoryTrial trial = try_memory(setup, schedule, ranks);
  return tried_table(schedule, planned, trial, beside, ranks) +
         about_ranks(
             setup, ranks,
             "sum: the peak_memory_bytes that a run reports. Activations, data among them, are "
             "those of some steps that were tried, for a batch as large as the largest; buffers: "
             "gradients on their way, what MPI takes, copies for checkpoints, what [retention] "
             "keeps. Frozen weights that ranks of a host hold once are counted on each "
             "(distributed.share-frozen)");
}

}  // namespace thaw
