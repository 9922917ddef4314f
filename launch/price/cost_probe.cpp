#include "launch/price/cost_probe.h"

#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <optional>
#include <set>
#include <string>

#include "core/base/stopwatch.h"
#include "core/base/system.h"
#include "core/config/configuration.h"
#include "core/data/dataset.h"
#include "core/models/model.h"
#include "core/schedule/policies/policy.h"
#include "core/schedule/schedule_run.h"
#include "dist/reduction/row_reduction.h"
#include "launch/price/data_loads.h"
#include "launch/price/distinct_stages.h"
#include "launch/price/probed_steps.h"
#include "launch/run/run_setup.h"

namespace thaw {
namespace {

// Note [Costs by two sizes]
// A forecast asks what a rank's share costs at any number of ranks, so at any number of samples. So
// each stage is run with two sizes of share, the one that is asked for and half of it, and a line
// is laid through both: what is left at none is what a group costs whatever it computes (calls,
// reading its weights). Sizes of text differ in their tokens too; times are brought to the split's
// mean length before (Note [Time follows tokens]). Groups are timed one by one, as the trainer
// times them for its reports (GroupClock). What a rank of its own cannot measure, sums, the
// forecast adds.

/// Of the time that was planned: from then on each stage has steps of one size, and few.
constexpr double kLate = 1.25;

class CostProbe {
 public:
  /// `largest_batch`: see CostProbeLimits.
  CostProbe(const RunSetup& setup, std::int64_t largest_batch)
      : setup_(setup),
        steps_(setup),
        split_(setup.dataset->split("train")),
        largest_batch_(std::max(largest_batch, setup.configuration().data.batch)),
        resident_(resident_now()) {}

  const ParameterTable& parameters() const { return steps_.parameters(); }

  /// By steps of few samples in `stage`: seconds of a sample. What is made once is made then.
  double sample_seconds(const Stage& stage) {
    steps_.enter(stage);
    constexpr std::int64_t kSamples = 4;
    steps_.measure(kSamples, 0);
    const Stopwatch watch;
    const SizedCosts costs = steps_.measure(kSamples, 0);
    return watch.seconds() / (2 * static_cast<double>(costs.samples));  // one of two to warm up
  }

  /// `late`: by steps of one size, all of whose cost is then the samples'.
  StageCosts costs_of(const Stage& stage, std::int64_t samples, double seconds, bool late);

 private:
  static std::int64_t resident_now() {
    give_back_freed_memory();  // as before each size, whose peaks this is taken from
    reset_peak_resident();
    return peak_resident_bytes();
  }
  std::vector<GradientCosts> gradients() const;
  std::vector<RestingParameter> resting(const Stage& stage) const;
  SmallSums sums() const;
  std::vector<TouchedRows> touched(std::int64_t samples);
  MemoryCosts memory(const SizedCosts& few, const SizedCosts& many) const;

  const RunSetup& setup_;
  ProbedSteps steps_;
  const Split& split_;
  std::int64_t largest_batch_;
  std::int64_t resident_;                                     ///< before anything was run
  std::map<std::int64_t, std::vector<TouchedRows>> counted_;  ///< by the fewest samples
};

/// After a step, whose gradients are still there.
std::vector<GradientCosts> CostProbe::gradients() const {
  std::vector<GradientCosts> all;
  for (const ParameterFacts& facts : steps_.plan().parameters()) {
    const at::Tensor& tensor =
        steps_.parameters().tensors()[steps_.parameters().index_of(facts.name)];
    all.push_back({.entry = {.name = facts.name,
                             .shape = facts.shape,
                             .strides = {},
                             .type = facts.type,
                             .device = tensor.is_cuda() ? "cuda" : "cpu",
                             .by_rows = may_travel_by_rows(tensor)},
                   .group = facts.place.value_or(facts.group)});
  }
  return all;
}

/// What other segments of `stage` train than the one that was entered.
std::vector<RestingParameter> CostProbe::resting(const Stage& stage) const {
  std::set<std::string> active;
  for (const ParameterFacts& facts : steps_.plan().parameters()) active.insert(facts.name);
  std::vector<RestingParameter> all;
  const StagePlan whole = make_stage_plan(parameters().groups(), parameters().facts(), stage,
                                          setup_.configuration().train);
  for (const ParameterFacts& facts : whole.parameters()) {
    if (active.contains(facts.name)) continue;
    all.push_back({facts.name, facts.elements() * static_cast<std::int64_t>(size_of(facts.type))});
  }
  return all;
}

/// What batch normalisations in training mode will say to other ranks.
SmallSums CostProbe::sums() const {
  SmallSums sums;
  if (setup_.configuration().train.batch_norm != BatchNormStatistics::kSynchronized) return sums;
  std::int64_t bytes = 0;
  for (const nn::BatchNorm* layer : steps_.batch_norms().layers()) {
    if (!layer->is_training() || !layer->weight.defined()) continue;
    sums.forward += 1;
    bytes += 2 * static_cast<std::int64_t>(layer->weight.nbytes());
  }
  sums.backward = sums.forward;
  if (sums.forward > 0) sums.bytes = bytes / static_cast<std::int64_t>(sums.forward);
  return sums;
}

/// After a step of `samples`: what global batches of so many touch, and of more, up to the largest.
/// A gradient that is dense, as that of a tied head, touches all rows of any.
std::vector<TouchedRows> CostProbe::touched(std::int64_t samples) {
  if (split_.offsets().empty()) return {};
  for (const ParameterFacts& facts : steps_.plan().parameters()) {
    const at::Tensor& tensor =
        steps_.parameters().tensors()[steps_.parameters().index_of(facts.name)];
    if (!may_travel_by_rows(tensor) || !tensor.grad().defined()) continue;
    if (2 * touched_rows(tensor.grad()) > tensor.size(0)) return {{samples, tensor.size(0)}};
  }
  std::vector<TouchedRows>& all = counted_[samples];
  if (all.empty()) {
    all = counted_rows(split_,
                       {.fewest = samples,
                        .most = largest_batch_,
                        .seed = static_cast<std::uint64_t>(setup_.configuration().data.seed)});
  }
  return all;
}

/// Of a byte that is copied from one place in memory to another.
double pack_seconds() {
  constexpr std::int64_t kBytes = 16 << 20;
  const at::Tensor from = at::empty({kBytes}, at::kByte).fill_(1);
  at::Tensor to = at::empty({kBytes}, at::kByte).fill_(0);
  const Stopwatch watch;
  std::memcpy(to.mutable_data_ptr(), from.const_data_ptr(), kBytes);
  return watch.seconds() / static_cast<double>(kBytes);
}

MemoryCosts CostProbe::memory(const SizedCosts& few, const SizedCosts& many) const {
  double active = 0;
  for (const ParameterFacts& facts : steps_.plan().parameters()) {
    active += static_cast<double>(facts.elements()) * static_cast<double>(size_of(facts.type));
  }
  MemoryCosts memory;
  memory.fixed = resident_;
  memory.activations = activations_of({few.samples, few.peak_bytes, few.held_bytes},
                                      {many.samples, many.peak_bytes, many.held_bytes}, resident_);
  if (active > 0) memory.state_per_byte = static_cast<double>(steps_.state_bytes()) / active;
  return memory;
}

StageCosts CostProbe::costs_of(const Stage& stage, std::int64_t samples, double seconds,
                               bool late) {
  steps_.enter(probed_stage(stage));
  const std::int64_t half = std::max<std::int64_t>(1, samples / 2);
  const SizedCosts few = steps_.measure(half, late ? 0 : seconds / 3);
  const SizedCosts many = late || half == samples ? few : steps_.measure(samples, seconds * 2 / 3);
  const auto line = [&](double one, double other) {
    return line_through(static_cast<double>(few.samples), one, static_cast<double>(many.samples),
                        other);
  };
  StageCosts costs;
  costs.stage = stage.name;
  const std::vector<ParameterGroup>& groups = setup_.model->groups();
  for (std::size_t g = 0; g < groups.size(); ++g) {
    costs.groups.push_back({.name = groups[g].name,
                            .forward = line(few.forward[g], many.forward[g]),
                            .backward = line(few.backward[g], many.backward[g])});
  }
  costs.loss = line(few.loss, many.loss);
  costs.gradients = gradients();
  costs.resting = resting(stage);
  costs.touched = touched(many.samples);
  costs.optimizer_fixed = many.optimizer;  // until stages are compared: see share_optimizer
  costs.step_fixed = many.data;
  costs.pack_per_byte = pack_seconds();
  costs.flops_per_second = many.flops / std::max(many.compute_seconds(), 1e-9);
  costs.sums = sums();
  costs.memory = memory(few, many);
  return costs;
}

/// What the optimizer took, in each stage as a whole, as what it takes anyway and a byte's: by the
/// stages with the fewest and the most.
void share_optimizer(std::vector<StageCosts>& kinds) {
  const auto by_bytes = [](const StageCosts& a, const StageCosts& b) {
    return gradient_bytes(a) < gradient_bytes(b);
  };
  const auto [least, most] = std::minmax_element(kinds.begin(), kinds.end(), by_bytes);
  const auto bytes = [](const StageCosts& costs) {
    return static_cast<double>(gradient_bytes(costs));
  };
  const LinearCost line =
      line_through(bytes(*least), least->optimizer_fixed, bytes(*most), most->optimizer_fixed);
  for (StageCosts& costs : kinds) {
    costs.optimizer_per_byte = line.per_sample;
    costs.optimizer_fixed = std::max(0.0, costs.optimizer_fixed - line.per_sample * bytes(costs));
  }
}

}  // namespace

Stage probed_stage(const Stage& stage) {
  const auto groups =
      stage.policy ? stage.policy->foreseen(stage.groups, /*segment=*/0) : std::nullopt;
  return groups ? with_groups(stage, *groups) : stage;
}

LinearCost activations_of(const ProbedPeak& few, const ProbedPeak& many, std::int64_t resident) {
  const auto left = [&](const ProbedPeak& peak) {
    return static_cast<double>(std::max<std::int64_t>(0, peak.bytes - peak.held - resident));
  };
  return line_through(static_cast<double>(few.samples), left(few),
                      static_cast<double>(many.samples), left(many));
}

MeasuredCosts measure_stage_costs(const RunSetup& setup, const Schedule& schedule,
                                  const CostProbeLimits& limits) {
  const Stopwatch watch;
  CostProbe probe(setup, limits.largest_batch);
  const StageKinds kinds = stage_kinds(schedule, probe.parameters(), setup.configuration().train);
  const auto deepest =
      std::max_element(kinds.kinds.begin(), kinds.kinds.end(),
                       [](const StageKind& a, const StageKind& b) { return is_deeper(b, a); });
  const double sample = probe.sample_seconds(schedule.stages[deepest->first]);
  const double seconds =
      std::max(0.0, limits.seconds - watch.seconds()) / static_cast<double>(kinds.kinds.size());
  MeasuredCosts measured;
  measured.samples = limits.samples;
  // Three steps of each size at least, the smaller of which has half of the samples.
  while (measured.samples > 2 && 4.5 * sample * static_cast<double>(measured.samples) > seconds) {
    measured.samples /= 2;
  }
  // From the input's side of nothing to the whole, so that memory grows from stage to stage.
  std::vector<std::size_t> order = chosen_kinds(kinds.kinds, kinds.kinds.size());
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    return is_deeper(kinds.kinds[b], kinds.kinds[a]);
  });
  std::vector<StageCosts> of_kind(kinds.kinds.size());
  for (const std::size_t kind : order) {
    of_kind[kind] =
        probe.costs_of(schedule.stages[kinds.kinds[kind].first], measured.samples, seconds,
                       /*late=*/watch.seconds() > kLate * limits.seconds);
  }
  share_optimizer(of_kind);
  for (std::size_t s = 0; s < schedule.stages.size(); ++s) {
    measured.stages.push_back(of_kind[kinds.of_stage[s]]);
    measured.stages.back().stage = schedule.stages[s].name;
  }
  measured.seconds = watch.seconds();
  return measured;
}

}  // namespace thaw
