#include "launch/terminal/memory_table.h"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "core/models/model.h"
#include "core/schedule/stage_options.h"
#include "core/schedule/stage_plan.h"
#include "core/step/optimizers/registry.h"
#include "core/step/parameter_table.h"
#include "core/train/reduction_rules.h"
#include "dist/reduction/row_reduction.h"
#include "dist/reduction/sharding/rank_memory.h"
#include "launch/run/run_setup.h"
#include "launch/terminal/text_table.h"

namespace thaw {
namespace {

std::int64_t bytes_of_tensors(const Model& model) {
  std::int64_t bytes = 0;
  for (const at::Tensor& each : model.parameters())
    bytes += static_cast<std::int64_t>(each.nbytes());
  for (const at::Tensor& each : model.buffers()) bytes += static_cast<std::int64_t>(each.nbytes());
  return bytes;
}

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

}  // namespace

std::string memory_table(const RunSetup& setup, const Schedule& schedule, int ranks) {
  const Configuration& configuration = setup.configuration();
  const ParameterTable parameters(*setup.model, configuration.train.decay_norms_and_biases);
  std::vector<std::vector<BucketEntry>> active;
  for (const Stage& stage : schedule.stages) {
    active.push_back(active_entries(
        make_stage_plan(parameters.groups(), parameters.facts(), stage, configuration.train),
        parameters));
  }
  MemoryQuestion question;
  question.ranks = ranks;
  question.sharding = configuration.distributed.sharding;
  question.buckets.cap_bytes = configuration.distributed.bucket_bytes;
  question.buckets.by_rows = configuration.distributed.embedding_rows == EmbeddingRows::kAuto;
  question.shards = canonical_shards(configuration.train);
  question.slots = static_cast<std::int64_t>(make_optimizer(configuration.train)->slots().size());
  question.weights = bytes_of_tensors(*setup.model);
  const auto memory = memory_of_stages(active, question);
  TextTable table({"stage", ">weights", ">gradients", ">optimizer\nstate", ">passing", ">sum"});
  for (std::size_t i = 0; i < memory.size(); ++i) {
    const RankMemory most = most_of(memory[i]);
    table.row({schedule.stages[i].name, bytes_text(most.weights), bytes_text(most.gradients),
               bytes_text(most.state), bytes_text(most.passing), bytes_text(most.sum())});
  }
  return table.text() +
         fmt::format(
             "  of memory on each of {} rank{} (the largest), distributed.sharding \"{}\"; "
             "passing: "
             "gradients that come\n  and go within a step; activations, data and the program "
             "itself "
             "are not counted; state of what\n  freezes is kept (optimizer-state \"keep\")\n",
             ranks, ranks == 1 ? "" : "s", name_of(configuration.distributed.sharding));
}

}  // namespace thaw
