#include "launch/price/probed_steps.h"

#include <algorithm>
#include <numeric>
#include <set>
#include <string>
#include <utility>

#include "core/base/numbers.h"
#include "core/base/stopwatch.h"
#include "core/base/system.h"
#include "core/config/configuration.h"
#include "core/data/dataset.h"
#include "core/data/loading/training_loader.h"
#include "core/kernels/flop_counter.h"
#include "core/models/model.h"
#include "core/parallel/one_rank.h"
#include "core/schedule/stage_options.h"
#include "core/step/gradient_pass.h"
#include "core/step/group_clock.h"
#include "core/step/optimizers/registry.h"
#include "core/tasks/task.h"
#include "launch/price/data_loads.h"
#include "launch/run/run_setup.h"

namespace thaw {

/// One step's.
struct ProbedSteps::StepTimes {
  std::vector<double> forward, backward;
  double loss = 0, optimizer = 0, data = 0;
  double scale = 1;  ///< by which they were multiplied
};

namespace {

template <class Times>
double median_of(const std::vector<Times>& steps, double Times::*part) {
  std::vector<double> values;
  for (const Times& step : steps) values.push_back(step.*part);
  return median(values);
}

template <class Times>
std::vector<double> medians_of(const std::vector<Times>& steps, std::vector<double> Times::*part) {
  std::vector<double> medians;
  for (std::size_t g = 0; g < (steps.front().*part).size(); ++g) {
    std::vector<double> values;
    for (const Times& step : steps) values.push_back((step.*part)[g]);
    medians.push_back(median(values));
  }
  return medians;
}

}  // namespace

double SizedCosts::compute_seconds() const {
  return std::accumulate(forward.begin(), forward.end(), 0.0) +
         std::accumulate(backward.begin(), backward.end(), loss);
}

ProbedSteps::ProbedSteps(const RunSetup& setup)
    : setup_(setup),
      model_(*setup.model),
      parameters_(model_, setup.configuration().train.decay_norms_and_biases),
      freezer_(model_, parameters_, frozen_layers_of(setup.configuration().train)),
      batch_norms_(model_),
      split_(setup.dataset->split("train")) {}

ProbedSteps::~ProbedSteps() = default;

void ProbedSteps::enter(const Stage& stage) {
  const TrainOptions& train = setup_.configuration().train;
  const TrainOptions options = resolve(train, stage);
  reducer_.reset();
  plan_.emplace(make_stage_plan(parameters_.groups(), parameters_.facts(), stage, train));
  std::set<std::string> active;
  std::vector<NamedTensor> trained, frozen;
  for (const ParameterFacts& facts : plan_->parameters()) active.insert(facts.name);
  for (std::size_t i = 0; i < parameters_.size(); ++i) {
    const std::string& name = parameters_.facts()[i].name;
    (active.contains(name) ? trained : frozen).push_back({name, parameters_.tensors()[i]});
  }
  freezer_.apply(active, frozen_layers_of(options));
  model_.weights_changed();
  reducer_ = make_local_reducer(trained, frozen);
  optimizer_ = make_optimizer(train);
  std::vector<OptimizerClass> classes;
  for (const RateClass& rates : plan_->rate_classes()) {
    OptimizerClass members{0, rates.decays ? options.weight_decay : 0.0, {}, {}};
    for (const std::size_t index : rates.parameters) {
      const std::string& name = plan_->parameters()[index].name;
      members.names.push_back(name);
      members.parameters.push_back(parameters_.tensors()[parameters_.index_of(name)]);
    }
    classes.push_back(std::move(members));
  }
  optimizer_->enter_stage(std::move(classes), options);
}

/// Times are as of a batch of mean length.
ProbedSteps::StepTimes ProbedSteps::step(GradientPass& pass, TrainingLoader& loader,
                                         double mean_load) {
  StepTimes times;
  Stopwatch watch;
  const TrainingBatch batch = loader.next();
  times.data = watch.lap();
  const SampleShare share{batch.batch.size(), batch.batch.size()};
  GroupClock clock;
  pass.set_clock(&clock);
  reducer_->begin(share);
  watch.lap();
  const at::Tensor loss =
      pass.run(batch.batch, share, setup_.task->weight(batch.batch), plan_->cut(), *reducer_);
  const bool queued = loss.defined() && loss.is_cuda();
  if (queued) loss.item();  // waits for the GPU
  const double whole = watch.lap();
  reducer_->finish();
  pass.set_clock(nullptr);
  watch.lap();
  optimizer_->step(std::vector<double>(plan_->rate_classes().size(), 0.0), 1.0);
  times.optimizer = watch.lap();
  const double load = split_.offsets().empty() ? static_cast<double>(batch.batch.size())
                                               : static_cast<double>(batch.batch.inputs.numel());
  const double scale = mean_load * static_cast<double>(batch.batch.size()) / load;
  times.scale = scale;
  const std::size_t groups = model_.groups().size();
  times.forward.assign(groups, 0.0);
  times.backward.assign(groups, 0.0);
  if (clock.seconds().empty()) {
    // The model runs as a whole; where forward ends is a guess.
    times.forward.back() = scale * whole / 3;
    times.backward.back() = scale * whole * 2 / 3;
    return times;
  }
  const double told = std::accumulate(clock.seconds().begin(), clock.seconds().end(), 0.0);
  // Of a GPU the host sees what it queued: shares of the whole.
  const double factor = queued ? scale * whole / std::max(told, 1e-12) : scale;
  for (std::size_t g = 0; g < groups; ++g) {
    times.forward[g] = factor * clock.forward_seconds()[g];
    times.backward[g] = factor * (clock.seconds()[g] - clock.forward_seconds()[g]);
  }
  if (!queued) times.loss = scale * std::max(0.0, whole - told);
  return times;
}

// Note [Gradients beside activations]
// Alone, a rank drops a step's gradients before the next one, so that they grow while backward
// frees activations, and the peak holds neither of them whole. Several ranks have them in buckets
// throughout, which a forecast adds. So one backward adds to gradients that are there: its peak has
// them, the optimizer's state and all activations, and what is left without the first two are the
// activations.

void ProbedSteps::add_to_gradients(GradientPass& pass, TrainingLoader& loader) {
  const TrainingBatch batch = loader.next();
  const SampleShare share{batch.batch.size(), batch.batch.size()};
  pass.run(batch.batch, share, setup_.task->weight(batch.batch), plan_->cut(), *reducer_);
}

std::int64_t ProbedSteps::state_bytes() const {
  std::int64_t bytes = 0;
  for (const auto& [name, kept] : optimizer_->states()) {
    for (const at::Tensor& slot : kept.slots) bytes += static_cast<std::int64_t>(slot.nbytes());
  }
  return bytes;
}

/// What a GPU holds is in no peak of the process.
std::int64_t ProbedSteps::held_on_host() const {
  if (gpu_of(model_)) return 0;
  std::int64_t bytes = state_bytes();
  for (const ParameterFacts& facts : plan_->parameters()) {
    const at::Tensor& gradient = parameters_.tensors()[parameters_.index_of(facts.name)].grad();
    if (gradient.defined()) bytes += static_cast<std::int64_t>(gradient.nbytes());
  }
  return bytes;
}

/// A step to warm up, one that adds to its gradients, and then as many as there is time for, one at
/// least.
SizedCosts ProbedSteps::measure(std::int64_t samples, double seconds) {
  constexpr std::size_t kMostSteps = 5;
  const DataOptions& data = setup_.configuration().data;
  const TrainOptions& train = setup_.configuration().train;
  SizedCosts costs;
  costs.samples = std::min(samples, split_.size());
  TrainingLoader loader(*setup_.dataset,
                        {.batch = costs.samples,
                         .seed = static_cast<std::uint64_t>(data.seed),
                         .read_ahead = data.read_ahead,
                         .crop_padding = data.crop_padding,
                         .horizontal_flip = data.horizontal_flip,
                         .gpu = gpu_of(model_),
                         .uploads = train.micro_batch == 0 && train.micro_batch_tokens == 0},
                        /*cursor=*/0);
  GradientPass pass(model_, batch_norms_,
                    {.task = setup_.task.get(),
                     .micro_batch = {train.micro_batch, train.micro_batch_tokens},
                     .seed = static_cast<std::uint64_t>(train.seed)});
  const double mean_load = whole_load(split_) / static_cast<double>(split_.size());
  give_back_freed_memory();  // of larger steps before, which would hide what these take
  reset_peak_resident();
  {
    const FlopCounter counter(parameters_.tensors());
    const double scale = step(pass, loader, mean_load).scale;
    costs.flops = scale * counter.flops().total();
  }
  add_to_gradients(pass, loader);
  costs.held_bytes = held_on_host();
  std::vector<StepTimes> steps;
  const Stopwatch watch;
  do {
    steps.push_back(step(pass, loader, mean_load));
  } while (watch.seconds() < seconds && steps.size() < kMostSteps);
  costs.forward = medians_of(steps, &StepTimes::forward);
  costs.backward = medians_of(steps, &StepTimes::backward);
  costs.loss = median_of(steps, &StepTimes::loss);
  costs.optimizer = median_of(steps, &StepTimes::optimizer);
  costs.data = median_of(steps, &StepTimes::data);
  costs.peak_bytes = peak_resident_bytes();
  return costs;
}

}  // namespace thaw
