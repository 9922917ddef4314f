#pragma once

#include <torch/optim/adagrad.h>
#include <torch/optim/adam.h>
#include <torch/optim/adamw.h>
#include <torch/optim/optimizer.h>
#include <torch/optim/rmsprop.h>
#include <torch/optim/sgd.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <type_traits>
#include <utility>
#include <vector>

#include "core/parallel/communicator.h"

namespace thaw {

/// Whether an optimizer makes of each element, its gradient and its state what it would make of
/// them in any other tensor, so that it may be given slices. For one of your own, that does:
///
///     template <> struct thaw::GoesByElements<MyOptimizer> : std::true_type {};
///
/// One that looks at whole tensors (their norms, ranks or rows: LBFGS, LAMB, Muon) must not.
template <class Base>
struct GoesByElements : std::false_type {};
template <>
struct GoesByElements<torch::optim::Adagrad> : std::true_type {};
template <>
struct GoesByElements<torch::optim::Adam> : std::true_type {};
template <>
struct GoesByElements<torch::optim::AdamW> : std::true_type {};
template <>
struct GoesByElements<torch::optim::RMSprop> : std::true_type {};
template <>
struct GoesByElements<torch::optim::SGD> : std::true_type {};

/// Parameters of which each rank updates a slice: the part of ShardedOptimizer that is the same for
/// all optimizers.
class SlicedUpdate {
 public:
  /// A collective. Refers to the communicator's ranks by a communicator of its own.
  SlicedUpdate(Communicator& communicator,
               const std::vector<torch::optim::OptimizerParamGroup>& groups);
  ~SlicedUpdate();
  SlicedUpdate(SlicedUpdate&&) noexcept;
  SlicedUpdate& operator=(SlicedUpdate&&) noexcept;

  /// The groups with this rank's slices in the place of their parameters, and their options.
  const std::vector<torch::optim::OptimizerParamGroup>& groups() const { return groups_; }
  /// Gives each slice its part of the parameter's `.grad`, none where that has none.
  void take_gradients();
  /// A collective: gives every rank the parameters that had a gradient, as their owners have them.
  void share();
  void drop_gradients(bool set_to_none);

 private:
  struct Member {
    at::Tensor parameter, part;
    std::vector<std::int64_t> cuts;  ///< see Note [Slices] in core/parallel/slices.h
  };
  std::unique_ptr<Communicator> communicator_;
  std::vector<Member> members_;
  std::vector<torch::optim::OptimizerParamGroup> groups_;
};

/// One of LibTorch's optimizers whose state the ranks share out between them: each holds and
/// updates one slice of every parameter, and tells the others. What ZeroRedundancyOptimizer is in
/// Python.
///
///     thaw::DataParallel parallel(world, net);
///     thaw::ShardedOptimizer<torch::optim::AdamW> optimizer(
///         world, {net->parameters()}, torch::optim::AdamWOptions(1e-3).weight_decay(0.01));
///     ...
///     loss.backward();     // .grad is the mean over all ranks, whole, as always
///     optimizer.step();    // all ranks
///
/// Weights and gradients stay whole on every rank (clip them as you like); state takes 1/N of its
/// memory. Every parameter is cut for all ranks alike, so the shares are even whatever is active,
/// and nothing moves where layers freeze and thaw: it serves every active set of a DataParallel. An
/// update has the same bits as the whole optimizer's. `.grad` must be equal on all ranks when
/// `step` is called, as it is after a step of a DataParallel: what only some ranks had a gradient
/// for would be a collective that the others do not make, which is named as a disagreement.
///
/// Parameters are float32, float64 or bfloat16 in row-major order, in host memory or on a GPU (with
/// a communicator for it); InputError on all ranks, which names the place of the parameter, where
/// one is not. Constructor and `step` are collectives. Not thread-safe; belongs to the thread that
/// trains. `communicator` outlives it.
template <class Base>
class ShardedOptimizer {
  static_assert(GoesByElements<Base>::value,
                "ShardedOptimizer gives each rank slices of tensors, which serves optimizers that "
                "go by elements alone: see thaw::GoesByElements");

 public:
  /// Groups as LibTorch's constructors take them: parameters, with options of their own or without.
  template <class Options>
  ShardedOptimizer(Communicator& communicator,
                   const std::vector<torch::optim::OptimizerParamGroup>& groups, Options defaults)
      : sliced_(communicator, groups),
        local_(std::make_unique<Base>(sliced_.groups(), std::move(defaults))) {}

  /// One group.
  template <class Options>
  ShardedOptimizer(Communicator& communicator, std::vector<at::Tensor> parameters, Options defaults)
      : ShardedOptimizer(communicator,
                         std::vector<torch::optim::OptimizerParamGroup>{
                             torch::optim::OptimizerParamGroup(std::move(parameters))},
                         std::move(defaults)) {}

  /// A collective: one update of the parameters that have a gradient.
  void step() {
    sliced_.take_gradients();
    local_->step();
    sliced_.share();
  }

  /// Of the parameters, as LibTorch's optimizers do it.
  void zero_grad(bool set_to_none = true) { sliced_.drop_gradients(set_to_none); }

  /// This rank's optimizer, over its slices: for learning rates (`param_groups()[i].options()`, to
  /// be set alike on all ranks), and for `save` and `load` of this rank's state, which fit the same
  /// parameters at the same number of ranks.
  Base& local() { return *local_; }
  const Base& local() const { return *local_; }

 private:
  SlicedUpdate sliced_;
  std::unique_ptr<Base> local_;
};

}  // namespace thaw
