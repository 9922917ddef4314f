#pragma once

#include <ATen/core/Tensor.h>

#include <any>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include "core/parallel/communicator.h"
#include "core/parallel/gradient_reducer.h"
#include "core/parallel/stage_coordinator.h"
#include "dist/reduction/reducer_options.h"
#include "dist/reduction/sending/gradient_hook.h"

namespace torch::nn {
class Module;
}

namespace thaw {

/// A module's `forward` whatever it takes and returns, so that a DataParallel of any module is of
/// one type.
class AnyForward {
 public:
  using Arguments = std::vector<std::any>;
  struct Result {
    std::any value;
    std::vector<at::Tensor> tensors;  ///< those in `value`
  };

  /// Of a module without a `forward`.
  AnyForward() = default;

  /// `keep` is kept for as long as this; without it `module` must outlive it.
  template <class Module>
  static AnyForward of(Module& module, std::shared_ptr<void> keep = nullptr) {
    AnyForward forward;
    forward.keep_ = std::move(keep);
    if constexpr (requires { &Module::forward; }) forward.bind(module, &Module::forward);
    // Templates and overloads (torch::nn::Sequential), and defaults of further parameters.
    if constexpr (requires(const at::Tensor& input) { module.forward(input); }) {
      forward.of_tensor_ = [&module](const at::Tensor& input) {
        return pack(module.forward(input));
      };
    }
    return forward;
  }

  /// Throws InputError where the module has no `forward`, or one that takes other arguments.
  Result operator()(Arguments& arguments) const;

 private:
  template <class Module, class Return, class Class, class... Parameters>
  void bind(Module& module, Return (Class::*forward)(Parameters...)) {
    bind_as<Return, Parameters...>(
        [&module, forward](auto&&... values) -> Return {
          return (module.*forward)(std::forward<decltype(values)>(values)...);
        },
        std::index_sequence_for<Parameters...>());
  }
  template <class Module, class Return, class Class, class... Parameters>
  void bind(Module& module, Return (Class::*forward)(Parameters...) const) {
    bind_as<Return, Parameters...>(
        [&module, forward](auto&&... values) -> Return {
          return (module.*forward)(std::forward<decltype(values)>(values)...);
        },
        std::index_sequence_for<Parameters...>());
  }

  template <class Return, class... Parameters, class Call, std::size_t... Index>
  void bind_as(Call call, std::index_sequence<Index...>) {
    parameters_ = sizeof...(Parameters);
    of_any_ = [call = std::move(call)](Arguments& arguments) {
      if constexpr (std::is_void_v<Return>) {
        call(value<Parameters>(arguments[Index])...);
        return Result();
      } else {
        return pack(call(value<Parameters>(arguments[Index])...));
      }
    };
  }

  /// Throws std::bad_any_cast; a number may be given as an int or a double.
  template <class Parameter>
  static decltype(auto) value(std::any& argument) {
    using Value = std::decay_t<Parameter>;
    if constexpr (std::is_arithmetic_v<Value>) {
      if (const auto* number = std::any_cast<int>(&argument)) return static_cast<Value>(*number);
      if (const auto* number = std::any_cast<double>(&argument)) return static_cast<Value>(*number);
      return Value(std::any_cast<Value>(argument));
    } else if constexpr (std::is_lvalue_reference_v<Parameter>) {
      return (std::any_cast<Value&>(argument));
    } else {
      return Value(std::any_cast<Value&>(argument));
    }
  }

  template <class Value>
  static Result pack(Value&& value) {
    Result result;
    collect(value, result.tensors);
    result.value = std::any(std::decay_t<Value>(std::forward<Value>(value)));
    return result;
  }

  template <class Value>
  static void collect(const Value& value, std::vector<at::Tensor>& tensors) {
    if constexpr (std::is_base_of_v<at::TensorBase, Value>) {
      tensors.push_back(value);
    } else if constexpr (requires { std::tuple_size<Value>::value; }) {
      std::apply([&](const auto&... parts) { (collect(parts, tensors), ...); }, value);
    } else if constexpr (requires { value.begin() != value.end(); }) {
      for (const auto& part : value) collect(part, tensors);
    } else if constexpr (requires { value.second; }) {
      collect(value.second, tensors);
    }
  }

  std::shared_ptr<void> keep_;
  std::size_t parameters_ = 0;
  std::function<Result(Arguments&)> of_any_;
  std::function<Result(const at::Tensor&)> of_tensor_;
};

/// What a DataParallel holds, by name: what a checkpoint of it keeps.
struct DataParallelState {
  /// Parameters and buffers. They share memory with the module: `clone` what is to stay as it is.
  std::map<std::string, at::Tensor> tensors;
  /// The active parameters' names, in the order of declaration.
  std::vector<std::string> active;
};

/// Data-parallel training of any `torch::nn` module in a loop of your own, with layers that freeze
/// and thaw on the way: the DistributedDataParallel that LibTorch lacks.
///
/// Every rank holds a replica of the module and computes its own samples; each step makes every
/// active parameter's `.grad` the mean over the samples of all ranks, so that each rank's optimizer
/// takes the same step.
///
///     thaw::DataParallel parallel(world, net);
///     for (auto& [x, y] : loader) {
///       optimizer.zero_grad();
///       auto loss = torch::cross_entropy_loss(parallel.forward(x), y);  // the share: x.size(0)
///       loss.backward();    // when this returns, .grad is the mean over all ranks' samples
///       optimizer.step();
///     }
///
/// The gradient contract: the loss is the mean over this rank's own samples (see LossMean). Ranks
/// count by their samples, so a share that is smaller than the others', or empty (`skip`), is
/// weighted as it should be.
///
/// A backward that goes through `forward` ends a step, outside of `accumulate`: gradients travel
/// while it runs, its end waits for the others, and `.grad` is added to as without ranks. Or a loop
/// calls the module itself, and `finish(samples)` after backward: then whatever stands in `.grad`
/// there is averaged, and a step starts from no gradient (`zero_grad` may be left out): what a
/// program adds of its own it writes between backward and `finish`, or behind `begin`, or without
/// any backward (then what it wrote into a kept `.grad` counts, and what the step before left there
/// does not); written before the step's first backward it is refused, where it is seen. After a
/// step a parameter that backward reached on no rank has an undefined `.grad`, so that LibTorch's
/// optimizers skip it, weight decay included; frozen ones have none either. One optimizer over all
/// parameters therefore serves every active set. Where `forward` ended the step, and something
/// stood in `.grad` before, such a parameter keeps that.
///
/// What would let the ranks part without a word is an error, on all ranks where the others would
/// wait: a parameter that gets no gradient on some rank in a step that `forward` announced (see
/// ReducerOptions::unused), a `.grad` that only some ranks zeroed before such a step, a step whose
/// gradients were not averaged before the parameters changed, a `finish` too many, `activate` in
/// mid-step, a module that was converted or moved after it was wrapped, a parameter that two
/// DataParallels wrap, options that are not the same everywhere. Only `activate` may write
/// `requires_grad`: a parameter that is frozen or thawed behind its back is a ReductionMismatch on
/// all ranks. A step that ends in an error leaves no gradients; training may go on where all ranks
/// caught theirs. An exception that leaves a rank's backward, wherever in the graph, or that
/// destroys its DataParallel between steps, is an error on the others at once, which names the
/// rank. `train()` and `eval()` stay the caller's: a frozen BatchNorm in training mode goes on
/// moving its running statistics.
///
/// With `ReducerOptions::monitor` it says where this rank is, for a watch over the ranks: see
/// JobWatch in dist/coordination/job_watch.h.
///
/// All calls that are said to be collective are made by all ranks in the same order. Not
/// thread-safe: it belongs to the thread that calls `backward`. Errors are thaw::Error, see
/// core/base/error.h; one whose `agreed()` is true was thrown on all ranks.
class DataParallel {
 public:
  /// A collective: checks that names, order, shapes and types of parameters and buffers are the
  /// same on all ranks, gives every rank rank 0's values, and makes those parameters active that
  /// require a gradient. `communicator` outlives it.
  /// Throws DisagreementError on all ranks, saying what differs and on which.
  DataParallel(Communicator& communicator, const torch::nn::Module& module,
               const ReducerOptions& options = {});

  /// The same, of a module that outlives it, with its `forward`.
  template <std::derived_from<torch::nn::Module> Module>
  requires(!std::is_const_v<Module>)
      DataParallel(Communicator& communicator, Module& module, const ReducerOptions& options = {})
      : DataParallel(communicator, static_cast<const torch::nn::Module&>(module), options) {
    set_forward(AnyForward::of(module));
  }

  /// The same, of a holder (TORCH_MODULE) or a shared pointer, which it shares.
  template <class Holder>
  requires std::derived_from<std::remove_reference_t<decltype(*std::declval<Holder&>().get())>,
                             torch::nn::Module>
  DataParallel(Communicator& communicator, const Holder& holder, const ReducerOptions& options = {})
      : DataParallel(communicator, static_cast<const torch::nn::Module&>(*holder.get()), options) {
    if constexpr (requires { holder.ptr(); }) {
      set_forward(AnyForward::of(*holder.ptr(), holder.ptr()));
    } else {
      set_forward(AnyForward::of(*holder, holder));
    }
  }

  /// The same for tensors by name; one tensor may stand under several names (tied weights). It
  /// knows of no layers then: on GPUs, where some are synchronised batch normalisations, set
  /// `options.overlap` to off (Note [Sums within backward on a GPU]).
  DataParallel(Communicator& communicator, std::vector<NamedTensor> parameters,
               std::vector<NamedTensor> buffers = {}, const ReducerOptions& options = {});

  ~DataParallel();
  DataParallel(DataParallel&&) noexcept;
  DataParallel& operator=(DataParallel&&) noexcept;

  /// A collective, between steps: makes exactly the parameters that `patterns` name active and
  /// freezes the others; gradients are dropped. A pattern is a glob over names (core/base/glob.h;
  /// `*` matches dots too) and names a parameter, or a module and so all parameters in it: "head",
  /// "layer[34]", "*.bias". None: nothing is active.
  ///
  /// The ranks compare what they are about to activate and rebuild the bucketed all-reduce for just
  /// that. Throws, on all ranks: InputError where a pattern matches nothing, or names one of two
  /// names of a tied parameter but not the other; DisagreementError where ranks activate different
  /// sets; RunError inside an accumulation or between `begin` and `finish`.
  void activate(const std::vector<std::string>& patterns);

  /// Names of the active parameters, in the order of declaration.
  const std::vector<std::string>& active() const;
  /// Their tensors, each once.
  std::vector<at::Tensor> active_parameters() const;

  /// The module's forward. Where gradients are recorded, the backward that comes through what it
  /// returns ends a step (see the class) of as many samples as the first tensor has rows; no
  /// collective itself, so its result may be dropped. The end of that backward is one: `backward()`
  /// throws what `finish` would. Arguments are of the types that the module's forward declares;
  /// another result than a tensor is named: `forward<std::tuple<at::Tensor, at::Tensor>>(x)`.
  template <class Return = at::Tensor, class... Arguments>
  Return forward(Arguments&&... arguments) {
    AnyForward::Arguments packed;
    (packed.emplace_back(std::decay_t<Arguments>(std::forward<Arguments>(arguments))), ...);
    std::any result = run_forward(packed);
    auto* value = std::any_cast<Return>(&result);
    if (value == nullptr) refuse_result();
    return std::move(*value);
  }

  /// Says that the next backward ends a step, of `samples` (>= 0) samples of this rank, as
  /// `forward` does: for what calls the module itself, or where a sample is no row of the first
  /// tensor (then before `forward`).
  void announce(std::int64_t samples);

  /// A collective: a step in which this rank has no samples, in the place of forward and backward:
  /// `.grad` is added to where it is on the other ranks. Returns the samples of all ranks.
  std::int64_t skip();

  /// A collective, after this rank's last step: takes part, without samples, in the steps that
  /// others still make, until all ranks are here. So loops may be of unequal length. `after_step`
  /// is called after each such step, to let the optimizer take it too: then all ranks stay equal,
  /// its state included. This rank's steps start from no gradient, so the others leave none in
  /// `.grad` either (`zero_grad` does, as a rule), or all throw ReductionMismatch. Without it they
  /// all get parameters and buffers of the first rank that made the last step. The others must not
  /// call `activate` meanwhile.
  void join(const std::function<void()>& after_step = {});

  /// Begins a step of `samples` (>= 0) samples of this rank that `finish` ends. Optional: for a
  /// step that starts from no gradient whatever a backward before has left.
  void begin(std::int64_t samples);

  /// A collective that ends a step which no forward announced: returns when every active
  /// parameter's `.grad` is the mean over the samples of all ranks of what stood there (see the
  /// class). `samples`: this rank's (>= 0; the same as in `begin` if that was called). Returns the
  /// samples of all ranks.
  /// Throws ReductionMismatch on all ranks where the set of gradients is not the active set, or
  /// there is none on a rank; RunError on all ranks where none of them had samples, and within an
  /// accumulation.
  std::int64_t finish(std::int64_t samples);

  /// The same after `begin`, or of the samples of all forwards in accumulations.
  std::int64_t finish();

  /// For as long as an instance lives, backward only adds up: nothing is sent.
  class Accumulation;

  /// Begins an accumulation: `{ auto scope = parallel.accumulate(); loss.backward(); }`.
  /// The step's last backward stands outside. For the gradient contract, the losses of the
  /// micro-batches of a step add up to the mean over this rank's samples (divide each one by their
  /// number), or are means of their own with LossMean::kForward.
  Accumulation accumulate();

  /// A collective: gives every rank rank 0's buffers. Running statistics of a BatchNorm are each
  /// rank's own: call it before evaluating or saving, or set LoopOptions::broadcast_buffers.
  void broadcast_buffers();

  /// Parameters, buffers and the active set by name.
  DataParallelState state() const;

  /// A collective, between steps: copies `state.tensors` into this module's, name by name, gives
  /// every rank rank 0's values, and activates `state.active`.
  /// Throws InputError on all ranks, before anything is changed, where a name is missing or unknown
  /// or a shape differs.
  void load(const DataParallelState& state);

  /// What the last step's reduction moved and cost; before the first, what each step will move.
  ReductionCounters counters() const;
  /// What the last `activate` cost.
  TransitionCosts transition_costs() const;

 private:
  class Implementation;
  void set_forward(AnyForward forward);
  std::any run_forward(AnyForward::Arguments& arguments);
  [[noreturn]] static void refuse_result();
  std::unique_ptr<Implementation> implementation_;
};

/// See `DataParallel::accumulate`. Must not outlive its DataParallel.
class DataParallel::Accumulation {
 public:
  ~Accumulation();
  Accumulation(Accumulation&& other) noexcept;
  Accumulation& operator=(Accumulation&&) = delete;

 private:
  friend class DataParallel;
  explicit Accumulation(Implementation& owner);
  Implementation* owner_;  ///< null: moved from
};

}  // namespace thaw
