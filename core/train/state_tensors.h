#pragma once

#include <map>
#include <string>
#include <vector>

#include "core/parallel/stage_coordinator.h"

namespace torch::nn {
class Module;
}

namespace thaw {

class CheckpointReader;
class Optimizer;

// Note [Names in a checkpoint]
// weights/NAME, buffers/NAME         of the model, under its own names
// optimizer/step|SLOT/NAME           the state of the parameter NAME, see Optimizer::slots
// stage-best/NAME                    weights and buffers at the stage's best evaluation
// rank-R/random/cpu|cuda             R's generator of random numbers, for modules that use it
// rank-R/buffers/NAME                R's own, where BatchNorm is local and ranks differ
// slices/FIRST-LAST/optimizer/SLOT/NAME  elements [FIRST, LAST) of optimizer/SLOT/NAME in row-major
//                                    order, where ranks share it out (Note [Sharded state])
// The first four are equal on all ranks, and each is written by one of them; a slice by its owner.
// Slices of one tensor make it up, whatever the number of ranks, so that a run may go on at another
// one, and with or without sharding.

/// What is equal on all ranks. `buffers`: those of the model are.
std::vector<NamedTensor> replicated_state(const torch::nn::Module& model,
                                          const Optimizer& optimizer, bool buffers);

/// What is this rank's own.
std::vector<NamedTensor> own_state(const torch::nn::Module& model, const Optimizer& optimizer,
                                   int rank, bool buffers);

/// A collective: copies of the checkpoint's tensors whose names begin with `prefix`, by what
/// follows it, on the model's device.
std::map<std::string, at::Tensor> tensors_under(const std::string& prefix,
                                                const CheckpointReader& checkpoint,
                                                const torch::nn::Module& model);

/// How a run that goes on holds its state.
struct StateRules {
  int rank = 0;
  int ranks = 1;
  bool buffers = true;   ///< those of the model are equal on all ranks
  bool sharded = false;  ///< ranks share the optimizer's state out, by even cuts at first
  /// The optimizer's state begins in host memory, all of it, and FrozenState::enter_stage brings to
  /// where parameters lie what the stage needs: together it may be more than a GPU takes.
  bool on_host = false;
};

/// A collective: brings model, optimizer and random numbers to what the checkpoint holds. At
/// another number of ranks each starts from rank 0's own state.
/// Throws InputError on all ranks, before anything is touched, where the model is another one or a
/// slice is missing.
void restore_state(const CheckpointReader& checkpoint, torch::nn::Module& model,
                   Optimizer& optimizer, const StateRules& rules);

}  // namespace thaw
