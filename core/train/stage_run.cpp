#include "core/train/stage_run.h"

#include <ATen/core/Tensor.h>

#include <algorithm>
#include <map>
#include <numeric>
#include <optional>
#include <set>
#include <span>
#include <utility>

#include "core/base/numbers.h"
#include "core/base/stopwatch.h"
#include "core/base/system.h"
#include "core/models/layers/batch_norm.h"
#include "core/models/model.h"
#include "core/models/model_bytes.h"
#include "core/parallel/sharded_state.h"
#include "core/parallel/stage_coordinator.h"
#include "core/schedule/stage_options.h"
#include "core/step/freezer.h"
#include "core/step/gradient_norm.h"
#include "core/step/optimizer.h"
#include "core/step/parameter_table.h"
#include "core/step/peak_memory_cuda.h"
#include "core/step/sharing/frozen_weights.h"
#include "core/train/reduction_rules.h"

namespace thaw {
namespace {

GradientPass::Settings pass_settings(const StageRun::Context& context, const TrainOptions& train) {
  GradientPass::Settings settings = context.pass;
  settings.label_smoothing = train.label_smoothing;
  settings.fast_draws = train.attention_dropout_draws == AttentionDraws::kFast;
  return settings;
}

std::vector<NamedTensor> parameters_by_name(const ParameterTable& parameters) {
  std::vector<NamedTensor> named;
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    named.push_back({parameters.facts()[i].name, parameters.tensors()[i]});
  }
  return named;
}

/// That this rank has of these parameters' optimizer state.
std::int64_t bytes_of_state(const Optimizer& optimizer, const std::set<std::string>& active) {
  std::int64_t bytes = 0;
  for (const auto& [name, state] : optimizer.states()) {
    if (active.contains(name)) bytes += bytes_of_tensors(state.slots);
  }
  return bytes;
}

/// Of each of the model's own groups, the slices (by their places) of parameters that it is the
/// first to read: one that two groups share has two names, and a slice under one of them.
std::vector<std::vector<std::size_t>> slices_by_place(const ParameterTable& parameters,
                                                      const ShardedState& sharded) {
  std::map<const void*, std::size_t> first;
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    const ParameterFacts& facts = parameters.facts()[i];
    const std::size_t place = facts.place.value_or(facts.group);
    const auto found = first.emplace(parameters.tensors()[i].const_data_ptr(), place).first;
    found->second = std::min(found->second, place);
  }
  std::vector<std::vector<std::size_t>> result(parameters.places().size());
  for (std::size_t i = 0; i < sharded.slices().size(); ++i) {
    const std::size_t index = parameters.index_of(sharded.slices()[i].name);
    result[first.at(parameters.tensors()[index].const_data_ptr())].push_back(i);
  }
  return result;
}

}  // namespace

StageRun::StageRun(const Context& context)
    : model_(context.model),
      schedule_(context.schedule),
      stage_(context.schedule.stage()),
      train_(resolve(context.train, stage_)),
      parameters_(context.parameters),
      plan_(make_stage_plan(context.parameters.groups(), context.parameters.facts(), stage_,
                            context.train)),
      pass_(context.model, context.batch_norms, pass_settings(context, train_)),
      frozen_layers_(frozen_layers_of(train_)) {
  const Stopwatch watch;
  std::set<std::string> active;
  for (const ParameterFacts& parameter : plan_.parameters()) {
    active.insert(parameter.name);
    active_tensors_.push_back(parameters_.tensors()[parameters_.index_of(parameter.name)]);
  }
  context.frozen_weights.thaw(active);
  context.freezer.apply(active, frozen_layers_);
  context.model.weights_changed();

  reducer_ = context.coordinator.enter(plan_, parameters_by_name(parameters_));
  costs_ = context.coordinator.costs();
  sums_within_backward_ = context.batch_norms.synchronize();
  if (sums_within_backward_ && !context.model.reaches_every_parameter()) {
    reducer_->send_behind_backward();
  }
  const Stopwatch optimizer_watch;
  if (schedule_.entered_now()) {
    carry_optimizer_state(context.optimizer);
  }
  aside_ = context.frozen_state.enter_stage(context.optimizer, parameters_, active,
                                            context.communicator);
  move_optimizer_state(context);
  enter_optimizer(context);
  optimizer_seconds_ = optimizer_watch.seconds();
  state_bytes_ = bytes_of_state(context.optimizer, active);
  context.frozen_weights.freeze(active);
  shared_bytes_ = context.frozen_weights.shared_bytes();
  transition_seconds_ = watch.seconds();
  training_seconds_ = transition_seconds_;
  reset_peak_resident();
  if (const auto gpu = gpu_of(context.model)) reset_peak_gpu(*gpu);
}

void StageRun::carry_optimizer_state(Optimizer& optimizer) const {
  if (stage_.optimizer_state == OptimizerCarry::kKeep) {
    return;
  }
  const std::vector<std::string>& thawed = schedule_.thawed();
  std::set<std::string> staying;
  for (const ParameterFacts& parameter : plan_.parameters()) {
    const std::string& group = parameters_.groups()[parameter.group];
    if (std::find(thawed.begin(), thawed.end(), group) == thawed.end()) {
      staying.insert(parameter.name);
    }
  }
  const bool reset = stage_.optimizer_state == OptimizerCarry::kReset;
  optimizer.forget_unless(
      [&](const std::string& name) { return !reset && staying.contains(name); });
}

void StageRun::move_optimizer_state(const Context& context) {
  if (sharded() == nullptr) return;
  check_sharding(context.optimizer, parameters_);  // where a program has not said that it shards
  std::map<std::string, Cuts> wanted;
  for (const ParameterSlice& slice : sharded()->slices()) wanted.emplace(slice.name, slice.cuts);
  slices_by_place_ = slices_by_place(parameters_, *sharded());
  moved_ = move_states(context.optimizer, wanted, context.communicator);
}

void StageRun::share_updates() {
  if (sharded() != nullptr) updates_under_way_ = sharded()->start_sharing_updates();
}

void StageRun::wait_for_updates() {
  if (std::exchange(updates_under_way_, false)) sharded()->wait_for_updates();
}

void StageRun::expect_forward() {
  if (!updates_under_way_) return;
  if (!model_.groups_read_their_own()) return wait_for_updates();
  pass_.tell_next_forward(
      [this](std::size_t group) { sharded()->wait_for_updates(slices_by_place_[group]); });
  updates_under_way_ = false;  // the reducer's `finish` waits for what no group has
}

void StageRun::capture_steps(c10::Device gpu) {
  // A graph does not keep the order in which sums of two communicators were asked for.
  if (sums_within_backward_) reducer_->send_behind_backward();
  graphs_ = std::make_unique<StepGraphs>(gpu, active_tensors_);
}

at::Tensor StageRun::gradient_norm(Communicator& communicator) {
  if (sharded() == nullptr) return shared_gradient_norm(active_tensors_, communicator);
  std::vector<std::size_t> all(sharded()->slices().size());
  std::iota(all.begin(), all.end(), std::size_t{0});
  return sharded()->gradient_norm(all);
}

std::vector<std::optional<double>> StageRun::group_gradient_norms() {
  if (sharded() == nullptr) return {};
  std::vector<std::vector<std::size_t>> members(parameters_.groups().size());
  const std::span<const ParameterSlice> slices = sharded()->slices();
  for (std::size_t i = 0; i < slices.size(); ++i) {
    // On all ranks or on none: Note [Sharded state].
    if (!slices[i].part.grad().defined()) continue;
    members[parameters_.facts()[parameters_.index_of(slices[i].name)].group].push_back(i);
  }
  std::vector<std::optional<double>> norms;
  for (const std::vector<std::size_t>& group : members) {
    std::optional<double>& norm = norms.emplace_back();
    if (group.empty()) continue;
    const at::Tensor found = sharded()->gradient_norm(group);
    norm = found.defined() ? found.item().toDouble() : 0;
  }
  return norms;
}

std::vector<double> StageRun::class_rates() const {
  const std::vector<double> by_group = schedule_.rates();
  std::vector<double> rates;
  for (const std::size_t group : class_groups_) rates.push_back(by_group[group]);
  return rates;
}

void StageRun::enter_optimizer(const Context& context) {
  std::map<std::string, const ParameterSlice*> slices;
  if (sharded() != nullptr) {
    for (const ParameterSlice& slice : sharded()->slices()) slices.emplace(slice.name, &slice);
  }
  std::vector<OptimizerClass> classes;
  for (const RateClass& rate_class : plan_.rate_classes()) {
    // All groups of a class share their rate: see `rates_part_by_group`.
    const std::size_t group = plan_.parameters()[rate_class.parameters.front()].group;
    const auto place =
        std::find(stage_.groups.begin(), stage_.groups.end(), parameters_.groups()[group]);
    class_groups_.push_back(static_cast<std::size_t>(place - stage_.groups.begin()));
    OptimizerClass members{rate_class.rate, rate_class.decays ? train_.weight_decay : 0.0, {}, {}};
    for (const std::size_t index : rate_class.parameters) {
      members.names.push_back(plan_.parameters()[index].name);
      if (slices.empty()) {
        members.parameters.push_back(active_tensors_[index]);
      } else {
        const ParameterSlice& slice = *slices.at(plan_.parameters()[index].name);
        members.parameters.push_back(slice.part);
        members.cuts.push_back(slice.cuts);
      }
    }
    classes.push_back(std::move(members));
  }
  context.optimizer.enter_stage(std::move(classes), train_);
}

at::Tensor StageRun::compute(const Batch& batch, SampleShare share, double weight) {
  expect_forward();
  if (!counts_operations()) {
    // A GPU would be waited for.
    if (clocked_step_ > 0 && parameters_.tensors().front().is_cpu()) read_group_clock();
    return pass_.run(batch, share, weight, plan_.cut(), *reducer_);
  }
  // Of the first step nobody asks once there is a second.
  if (clocked_step_ > 0) read_group_clock();
  const c10::Device device = parameters_.tensors().front().device();
  clock_ = std::make_unique<GroupClock>(
      work_marks(device.is_cuda() ? std::optional(device) : std::nullopt));
  clocked_step_ = progress().steps;
  pass_.set_clock(clock_.get());
  const FlopCounter counter(parameters_.tensors());
  at::Tensor loss_sum = pass_.run(batch, share, weight, plan_.cut(), *reducer_);
  flops_.add(counter.flops(), share.samples);
  pass_.set_clock(nullptr);
  return loss_sum;
}

/// Adds what the last clock has measured, once the step is long over, which a GPU must have done.
void StageRun::read_group_clock() const {
  if (!clock_) return;
  const std::vector<double> seconds = clock_->seconds();
  forward_seconds_ = clock_->forward_seconds();
  clock_.reset();
  // The first step makes memory and plans: its times are nobody else's.
  if (clocked_step_ <= 1) group_seconds_.assign(seconds.size(), 0.0);
  if (group_seconds_.size() < seconds.size()) group_seconds_.resize(seconds.size());
  for (std::size_t i = 0; i < seconds.size(); ++i) group_seconds_[i] += seconds[i];
}

std::vector<double> StageRun::group_time_shares() const {
  read_group_clock();
  std::vector<double> shares = group_seconds_;
  const double sum = std::accumulate(shares.begin(), shares.end(), 0.0);
  if (sum <= 0) return {};
  for (double& share : shares) share /= sum;
  return shares;
}

void StageRun::took_on_device(double seconds) {
  if (!std::exchange(device_tells_, true)) step_seconds_.resize(restored_steps_);
  step_seconds_.push_back(seconds);
}

void StageRun::commit(double seconds) {
  if (!device_tells_) step_seconds_.push_back(seconds);
  training_seconds_ += seconds;
  last_counters_ = reducer_->counters();
}

void StageRun::restore(const StageState& state, const ReductionOrder& reduction) {
  transition_seconds_ = state.so_far.transition_seconds;
  training_seconds_ = state.so_far.training_seconds;
  step_seconds_ = state.step_seconds;
  restored_steps_ = step_seconds_.size();
  const auto counted = static_cast<double>(state.flop_samples);
  flops_.add(state.so_far.flops_per_sample * counted, state.flop_samples);
  reducer_->restore(reduction);
}

StageState StageRun::state() const {
  constexpr std::size_t kMostSteps = 1000;  // enough for a median
  const auto count = static_cast<std::ptrdiff_t>(std::min(step_seconds_.size(), kMostSteps));
  return {.under_way = true,
          .name = stage_.name,
          .so_far = summary(),
          .step_seconds = {step_seconds_.end() - count, step_seconds_.end()},
          .flop_samples = flops_.samples()};
}

std::vector<double> StageRun::rates_by_group() const {
  std::vector<double> rates(parameters_.groups().size(), 0.0);
  for (std::size_t i = 0; i < stage_.groups.size(); ++i) {
    const auto group =
        std::find(parameters_.groups().begin(), parameters_.groups().end(), stage_.groups[i]);
    rates[static_cast<std::size_t>(group - parameters_.groups().begin())] =
        stage_.learning_rates[i];
  }
  return rates;
}

TransitionReport StageRun::transition_report() const {
  TransitionReport report;
  report.stage = stage_.name;
  if (stage_.policy) {
    report.segment = schedule_.state().segment;
  }
  report.active_parameters = plan_.elements();
  report.stage_steps = steps();
  report.seconds = transition_seconds_;
  report.costs = costs_;
  report.optimizer_seconds = optimizer_seconds_;
  report.state_bytes_moved = moved_.bytes;
  report.state_move_seconds = moved_.seconds;
  report.state_bytes = state_bytes_;
  report.shared_weight_bytes = shared_bytes_;
  report.state_bytes_put_aside = aside_.put_aside;
  report.state_bytes_brought_back = aside_.brought_back;
  report.state_aside_seconds = aside_.seconds;
  report.plan = plan_.fingerprint().hex();
  report.backward_cut =
      plan_.cut() < parameters_.places().size() ? parameters_.places()[plan_.cut()] : "";
  const std::vector<std::int64_t> elements = parameters_.elements_by_group();
  const std::vector<double> rates = rates_by_group();
  for (std::size_t g = 0; g < elements.size(); ++g) {
    const std::string& name = parameters_.groups()[g];
    const bool active =
        std::find(stage_.groups.begin(), stage_.groups.end(), name) != stage_.groups.end();
    report.groups.push_back({name, elements[g], active, rates[g]});
    report.parameters += elements[g];
  }
  return report;
}

StageSummary StageRun::summary() const {
  StageSummary summary;
  summary.name = stage_.name;
  summary.goes_on = schedule_.state().segment > 0;
  summary.steps = progress().steps;
  summary.step_seconds_median = median(step_seconds_);
  summary.active_parameters = plan_.elements();
  summary.flops_per_sample = flops_.per_sample();
  summary.samples = progress().samples;
  summary.training_seconds = training_seconds_;
  summary.bytes_reduced_per_step = last_counters_.payload_bytes;
  summary.padding_bytes_per_step = last_counters_.padding_bytes;
  // Of the memory that a larger batch would run out of.
  const at::Tensor& first = parameters_.tensors().front();
  summary.peak_memory_bytes =
      first.is_cuda() ? peak_gpu_bytes(first.device()) : peak_resident_bytes();
  summary.transition_seconds = transition_seconds_;
  return summary;
}

void prepare_stage(const Stage& stage, const TrainOptions& train, const ParameterTable& parameters,
                   Optimizer& optimizer, StageCoordinator& coordinator, bool sharded,
                   FrozenWeights& frozen) {
  const StagePlan plan = make_stage_plan(parameters.groups(), parameters.facts(), stage, train);
  std::set<std::string> active;
  for (const ParameterFacts& parameter : plan.parameters()) active.insert(parameter.name);
  if (!frozen.prepare(active)) return;
  std::vector<NamedTensor> all = parameters_by_name(parameters);
  std::vector<std::string> names;
  std::vector<at::Tensor> tensors;
  for (NamedTensor& each : all) {
    if (!active.contains(each.name)) continue;
    each.tensor = frozen.as_thawed(each.tensor);
    names.push_back(each.name);
    tensors.push_back(each.tensor);
  }
  if (!sharded) optimizer.prepare(names, tensors);
  coordinator.prepare(plan, all);
}

void wait_prepared(const Optimizer& optimizer, StageCoordinator& coordinator,
                   const FrozenWeights& frozen) {
  optimizer.wait_prepared();
  frozen.wait_prepared();
  coordinator.wait_prepared();
}

}  // namespace thaw
