#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "core/parallel/communicator.h"
#include "core/parallel/gradient_reducer.h"
#include "core/parallel/stage_coordinator.h"
#include "dist/reduction/bucket_reducer.h"

namespace torch::nn {
class Module;
}

namespace thaw {

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
/// Every rank holds a replica of the module and computes its own samples; `finish` makes every
/// active parameter's `.grad` the mean over the samples of all ranks, so that each rank's optimizer
/// takes the same step.
///
///     thaw::DataParallel parallel(world, *net);
///     parallel.activate({"head"});
///     for (auto& batch : batches) {
///       auto loss = torch::nll_loss(net->forward(batch.data), batch.target);  // mean of its own
///       loss.backward();
///       parallel.finish(batch.data.size(0));
///       optimizer.step();
///     }
///
/// The gradient contract: what backward leaves in `.grad` is the gradient of the mean loss over
/// this rank's own samples of the step. Ranks count by their samples, so a share that is smaller
/// than the others', or empty (`finish(0)`, without a backward), is weighted as it should be.
///
/// A step begins with the first backward after `finish` (or with `begin`) and starts from no
/// gradient: `zero_grad` of an optimizer may be called, in either way and at any place after its
/// `step`, or be left out. After `finish` a parameter that backward reached on no rank has an
/// undefined `.grad`, so that LibTorch's optimizers skip it, weight decay included; frozen ones
/// have none either. One optimizer over all parameters therefore serves every active set.
///
/// Only `activate` may write `requires_grad`: a parameter that is frozen or thawed behind its back
/// is a ReductionMismatch on all ranks. `train()` and `eval()` stay the caller's: a frozen
/// BatchNorm in training mode goes on moving its running statistics.
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

  /// The same for tensors by name; one tensor may stand under several names (tied weights).
  DataParallel(Communicator& communicator, std::vector<NamedParameter> parameters,
               std::vector<NamedParameter> buffers = {}, const ReducerOptions& options = {});

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

  /// Announces a step of `samples` (>= 0) samples of this rank. Optional: where the number is known
  /// before backward, gradients are scaled and sent while backward still runs. Then the step's last
  /// backward is the first one outside an accumulation; a further one is a RunError.
  void begin(std::int64_t samples);

  /// A collective that ends the step: returns when every active parameter's `.grad` is the mean
  /// over the samples of all ranks (see the class). `samples`: this rank's (>= 0; the same as in
  /// `begin` if that was called). Returns the samples of all ranks.
  /// Throws ReductionMismatch on all ranks where the set of gradients is not the active set;
  /// RunError on all ranks where none of them had samples, and within an accumulation.
  std::int64_t finish(std::int64_t samples);

  /// The same after `begin`.
  std::int64_t finish();

  /// For as long as an instance lives, backward only adds up: nothing is sent.
  class Accumulation;

  /// Begins an accumulation: `{ auto scope = parallel.accumulate(); loss.backward(); }`.
  /// For the gradient contract, the losses of the micro-batches of a step add up to the mean over
  /// this rank's samples: divide each one's sum by the samples given to `finish`.
  /// Throws RunError after the step's last backward (see `begin`).
  Accumulation accumulate();

  /// A collective: gives every rank rank 0's buffers. Running statistics of a BatchNorm are each
  /// rank's own: call it before evaluating or saving.
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
