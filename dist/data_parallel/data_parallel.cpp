#include "dist/data_parallel/data_parallel.h"

#include <c10/core/GradMode.h>
#include <fmt/format.h>

#include <algorithm>
#include <exception>
#include <optional>
#include <set>
#include <span>
#include <utility>
#include <vector>

#include "core/base/error.h"
#include "core/base/suggest.h"
#include "core/models/layers/batch_norm.h"
#include "core/parallel/active_set.h"
#include "core/parallel/agreement.h"
#include "core/parallel/fact_agreement.h"
#include "core/parallel/tensor_checks.h"
#include "core/schedule/stage_plan.h"
#include "core/step/trainable.h"
#include "dist/coordination/unfreezing_coordinator.h"
#include "dist/data_parallel/deadline_watch.h"
#include "dist/data_parallel/forward_link.h"
#include "dist/data_parallel/parameter_selection.h"
#include "dist/data_parallel/parameter_watch.h"
#include "dist/data_parallel/weighted_steps.h"

namespace thaw {

namespace {

/// An activation as a stage: the coordinator agrees on plans. Of two groups, since a parameter is
/// only active or not here; learning rates are the business of whoever has the optimizer.
StagePlan plan_activation(std::span<const NamedTensor> parameters,
                          const std::set<std::string>& active, const std::string& name) {
  const std::vector<std::string> groups = {"frozen", "active"};
  std::vector<ParameterFacts> facts;
  for (const NamedTensor& parameter : parameters) {
    const bool is_active = active.contains(parameter.name);
    // What is never reduced may be of any type, int8 weights for example.
    if (!is_active && !parameter.tensor.is_floating_point()) continue;
    facts.push_back({.name = parameter.name,
                     .shape = parameter.tensor.sizes().vec(),
                     .type = is_active ? element_type(parameter) : ElementType::kFloat32,
                     .group = is_active ? 1U : 0U});
  }
  Stage stage;
  stage.name = name;
  if (!active.empty()) {
    stage.groups = {"active"};
    stage.learning_rates = {0};
  }
  return make_stage_plan(groups, facts, stage);
}

std::set<std::string> names_of_trainable(std::span<const NamedTensor> parameters) {
  std::set<std::string> names;
  for (const NamedTensor& parameter : parameters) {
    if (parameter.tensor.requires_grad()) names.insert(parameter.name);
  }
  return names;
}

/// A collective: null where no watch is wanted. The options are compared before anything goes by
/// them.
std::unique_ptr<DeadlineWatch> make_watch(Communicator& communicator,
                                          const ReducerOptions& options) {
  Facts facts = facts_of(options);
  facts.push_back({"monitor", "value", options.monitor == nullptr ? "none" : "given"});
  facts.push_back({"deadline", "value", fmt::format("{} s", options.loop.deadline)});
  agree_on_facts(communicator, "options", facts);
  return DeadlineWatch::make(communicator, options);
}

/// What the reducers are told: `options`, where to look for what this one says of a step, and whom
/// to tell where they are.
ReducerOptions completed(ReducerOptions options, const StepRules* rules, DeadlineWatch* watch) {
  options.rules = rules;
  if (watch != nullptr) options.monitor = &watch->monitor();
  return options;
}

}  // namespace

class DataParallel::Implementation {
 public:
  Implementation(Communicator& communicator, std::vector<NamedTensor> parameters,
                 std::vector<NamedTensor> buffers, const ReducerOptions& options)
      : watch_(make_watch(communicator, options)),
        communicator_((watch_ ? watch_->communicator() : communicator).split(0)),
        totals_(communicator_->split(0)),
        options_(completed(options, &rules_, watch_.get())),
        coordinator_(make_unfreezing_coordinator(*communicator_, options_)),
        places_(options_.monitor),
        parameters_(std::move(parameters)),
        buffers_(std::move(buffers)),
        parts_{*totals_, places_, rules_, loss_share_, options.loop, options.unused, {}} {
    if (options.loop.broadcast_buffers && !buffers_.empty()) {
      parts_.share_buffers = [this](int from) {
        broadcast_tensors(*communicator_, buffers_, from);
      };
    }
    agreed(*communicator_, [&] {
      if (options.shards > 0) {
        throw InputError(
            "DataParallel: canonical sums over shards are the Trainer's: set no shards");
      }
      if (options.sharding != Sharding::kNone) {
        throw InputError(
            "DataParallel: gradients are whole on every rank (sums to slices are the Trainer's): "
            "set no sharding, and use a ShardedOptimizer to share the optimizer's state out");
      }
      claim_.emplace(parameters_);
    });
    make_replicas(*communicator_, parameters_, buffers_);
    enter(names_of_trainable(parameters_));
  }
  ~Implementation() {
    if (steps_ && std::uncaught_exceptions() > unwinding_) steps_->leave_loop();
    link_.enter(nullptr);
    for (nn::BatchNorm* layer : batch_norms_) {
      if (layer->loss_share() == &loss_share_) layer->set_loss_share(nullptr);
    }
  }

  /// Layers whose backward adds up over the ranks are told what losses are means over.
  void tell_layers(const torch::nn::Module& module) {
    kept_ = module.modules(/*include_self=*/false);
    batch_norms_ = BatchNorms(module).layers();
    for (nn::BatchNorm* layer : batch_norms_) layer->set_loss_share(&loss_share_);
  }

  void activate(const std::vector<std::string>& patterns) {
    enter(agreed(*communicator_, [&] {
      require_between_steps("activate");
      return select_parameters(parameters_, patterns);
    }));
  }

  void load(const DataParallelState& state);

  DataParallelState state() const {
    DataParallelState state;
    for (const auto& [name, tensor] : parameters_) state.tensors.emplace(name, tensor.detach());
    for (const auto& [name, tensor] : buffers_) state.tensors.emplace(name, tensor);
    state.active = active_;
    return state;
  }

  const std::vector<std::string>& active() const { return active_; }

  std::vector<at::Tensor> active_parameters() const {
    std::vector<at::Tensor> tensors;
    for (const NamedTensor& parameter : active_once_) tensors.push_back(parameter.tensor);
    return tensors;
  }

  void broadcast_buffers() { broadcast_tensors(*communicator_, buffers_); }

  ForwardLink& link() { return link_; }

  /// A backward comes: its module is in the mode in which its forward runs.
  void expect_backward() {
    if (sends_behind_backward_ || !synchronizes()) return;
    steps().send_behind_backward();
    sends_behind_backward_ = true;
  }

  std::int64_t skip() {
    refuse_synchronized_layers("skip");
    return steps().skip();
  }

  void join(const std::function<void()>& after_step) {
    refuse_synchronized_layers("join");
    steps().require_ready("join");
    steps().require_between_steps("join");
    while (steps().shadow_step(/*follows=*/after_step != nullptr)) {
      if (after_step) after_step();
    }
    std::vector<double> follow = {after_step ? 1.0 : 0.0};
    communicator_->all_reduce(follow);
    if (static_cast<int>(follow[0]) == communicator_->size() || !steps().some_had_joined()) return;
    broadcast_tensors(*communicator_, parameters_, steps().last_active_rank());
    broadcast_tensors(*communicator_, buffers_, steps().last_active_rank());
  }

  /// Of the active set. Throws where the last activation failed, so that there is none.
  WeightedSteps& steps() const {
    if (steps_) return *steps_;
    throw RunError("the last activation failed, so there is no active set");
  }
  void end_accumulation() noexcept {
    if (steps_) steps_->end_accumulation();
  }
  TransitionCosts costs() const { return coordinator_->costs(); }

 private:
  bool synchronizes() const {
    return std::any_of(batch_norms_.begin(), batch_norms_.end(),
                       [](const nn::BatchNorm* layer) { return layer->synchronizes(); });
  }

  void refuse_synchronized_layers(const char* what) const {
    if (!synchronizes()) return;
    throw RunError(fmt::format(
        "{}: the module has synchronised batch normalisations, in whose forward and backward all "
        "ranks take part: run those with a batch of no samples instead",
        what));
  }

  void require_between_steps(const char* what) const {
    if (steps_) steps_->require_between_steps(what);
  }

  /// A collective: makes exactly these active.
  void enter(const std::set<std::string>& selected) {
    const std::string name = fmt::format("activation {}", ++activations_);
    places_.activation(name);
    std::optional<StagePlan> plan;
    std::unique_ptr<WeightedSteps> steps;
    agreed(*communicator_, [&] {
      link_.enter(nullptr);
      steps_.reset();  // its hooks, and those of its reducer, before the next ones
      sends_behind_backward_ = false;
      plan = plan_activation(parameters_, selected, name);
      std::vector<NamedTensor> active;
      active_.clear();
      for (const NamedTensor& parameter : parameters_) {
        set_trainable(parameter.tensor, selected.contains(parameter.name));
        if (!selected.contains(parameter.name)) continue;
        active.push_back(parameter);
        active_.push_back(parameter.name);
      }
      active_once_ = without_ties(active, {});
      steps = std::make_unique<WeightedSteps>(parts_, active_once_);
    });
    steps->attach(coordinator_->enter(*plan, parameters_));
    steps_ = std::move(steps);
    link_.enter(steps_.get());
    places_.activated();
  }

  /// Throws InputError where the state's tensors are not this module's.
  void check_loadable(const DataParallelState& state) const;

  const int unwinding_ = std::uncaught_exceptions();
  std::unique_ptr<DeadlineWatch> watch_;  ///< null: another one's, or none
  std::unique_ptr<Communicator> communicator_;
  std::unique_ptr<Communicator> totals_;  ///< of the steps, whose sums go on while others are made
  std::vector<std::shared_ptr<torch::nn::Module>> kept_;  ///< the layers below
  std::vector<nn::BatchNorm*> batch_norms_;
  bool sends_behind_backward_ = false;  ///< the reducer of the active set was told to
  StepRules rules_;
  const ReducerOptions options_;
  LossShare loss_share_;
  std::unique_ptr<StageCoordinator> coordinator_;
  StepPlaces places_;
  std::vector<NamedTensor> parameters_;
  std::vector<NamedTensor> buffers_;
  std::vector<std::string> active_;
  std::vector<NamedTensor> active_once_;  ///< a tied one under its first name
  std::int64_t activations_ = 0;
  StepParts parts_;
  std::optional<ParameterClaim> claim_;
  ForwardLink link_;
  std::unique_ptr<WeightedSteps> steps_;
};

void DataParallel::Implementation::check_loadable(const DataParallelState& state) const {
  std::set<std::string> known;
  for (const auto* tensors : {&parameters_, &buffers_}) {
    for (const auto& [name, tensor] : *tensors) {
      known.insert(name);
      const auto found = state.tensors.find(name);
      if (found == state.tensors.end()) {
        throw InputError(fmt::format("load: the state has no tensor \"{}\"", name));
      }
      if (found->second.sizes() != tensor.sizes()) {
        throw InputError(fmt::format("load: \"{}\" is {}, but the module's is {}", name,
                                     describe(found->second), describe(tensor)));
      }
    }
  }
  for (const auto& [name, _] : state.tensors) {
    if (known.contains(name)) continue;
    const std::string nearest = nearest_name(name, {known.begin(), known.end()});
    throw InputError(fmt::format("load: the module has no tensor \"{}\"{}", name,
                                 nearest.empty() ? "" : "; did you mean \"" + nearest + "\"?"));
  }
}

void DataParallel::Implementation::load(const DataParallelState& state) {
  const std::set<std::string> selected = agreed(*communicator_, [&] {
    require_between_steps("load");
    check_loadable(state);
    std::set<std::string> names = select_parameters(parameters_, state.active);
    const c10::AutoGradMode no_grad(false);
    for (const auto* tensors : {&parameters_, &buffers_}) {
      for (const auto& [name, tensor] : *tensors) tensor.copy_(state.tensors.at(name));
    }
    return names;
  });
  broadcast_tensors(*communicator_, parameters_);
  broadcast_tensors(*communicator_, buffers_);
  enter(selected);
}

DataParallel::DataParallel(Communicator& communicator, const torch::nn::Module& module,
                           const ReducerOptions& options)
    : DataParallel(communicator, named_parameters(module), named_buffers(module), options) {
  implementation_->tell_layers(module);
}

DataParallel::DataParallel(Communicator& communicator, std::vector<NamedTensor> parameters,
                           std::vector<NamedTensor> buffers, const ReducerOptions& options)
    : implementation_(std::make_unique<Implementation>(communicator, std::move(parameters),
                                                       std::move(buffers), options)) {}

DataParallel::~DataParallel() = default;
DataParallel::DataParallel(DataParallel&&) noexcept = default;
DataParallel& DataParallel::operator=(DataParallel&&) noexcept = default;

void DataParallel::activate(const std::vector<std::string>& patterns) {
  implementation_->activate(patterns);
}

const std::vector<std::string>& DataParallel::active() const { return implementation_->active(); }

std::vector<at::Tensor> DataParallel::active_parameters() const {
  return implementation_->active_parameters();
}

void DataParallel::set_forward(AnyForward forward) {
  implementation_->link().set(std::move(forward));
}

std::any DataParallel::run_forward(AnyForward::Arguments& arguments) {
  static_cast<void>(implementation_->steps());  // throws where there is no active set
  if (c10::GradMode::is_enabled()) implementation_->expect_backward();
  return implementation_->link().run(arguments);
}

void DataParallel::refuse_result() {
  throw InputError(
      "forward: the module returns another type than a tensor: name it, as in "
      "forward<std::tuple<at::Tensor, at::Tensor>>(x)");
}

void DataParallel::announce(std::int64_t samples) {
  WeightedSteps& steps = implementation_->steps();
  implementation_->expect_backward();
  steps.announce(samples);
}

std::int64_t DataParallel::skip() { return implementation_->skip(); }

void DataParallel::join(const std::function<void()>& after_step) {
  implementation_->join(after_step);
}

void DataParallel::begin(std::int64_t samples) {
  WeightedSteps& steps = implementation_->steps();
  implementation_->expect_backward();
  steps.begin(samples);
}

std::int64_t DataParallel::finish(std::int64_t samples) {
  return implementation_->steps().finish(samples);
}

std::int64_t DataParallel::finish() { return implementation_->steps().finish(std::nullopt); }

void DataParallel::broadcast_buffers() { implementation_->broadcast_buffers(); }

DataParallelState DataParallel::state() const { return implementation_->state(); }

void DataParallel::load(const DataParallelState& state) { implementation_->load(state); }

ReductionCounters DataParallel::counters() const { return implementation_->steps().counters(); }

TransitionCosts DataParallel::transition_costs() const { return implementation_->costs(); }

DataParallel::Accumulation DataParallel::accumulate() { return Accumulation(*implementation_); }

DataParallel::Accumulation::Accumulation(Implementation& owner) : owner_(&owner) {
  owner_->steps().begin_accumulation();
}

DataParallel::Accumulation::Accumulation(Accumulation&& other) noexcept
    : owner_(std::exchange(other.owner_, nullptr)) {}

DataParallel::Accumulation::~Accumulation() {
  if (owner_) owner_->end_accumulation();
}

}  // namespace thaw
