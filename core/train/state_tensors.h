#pragma once

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
// optimizer/step|first|second/NAME   the state of the parameter NAME
// stage-best/NAME                    weights and buffers at the stage's best evaluation so far, of
//                                    stages that put them back at their end (restore-best)
// rank-R/random/cpu|cuda             R's generator of random numbers, for modules that use it
// rank-R/buffers/NAME                R's own, where BatchNorm is local and ranks differ
// All but the last two are equal on all ranks, and each is written by one of them.

/// What is equal on all ranks. `buffers`: those of the model are.
std::vector<NamedParameter> replicated_state(const torch::nn::Module& model,
                                             const Optimizer& optimizer, bool buffers);

/// What is this rank's own.
std::vector<NamedParameter> own_state(const torch::nn::Module& model, int rank, bool buffers);

/// A collective: brings model, optimizer and random numbers to what the checkpoint holds. At
/// another number of ranks each starts from rank 0's own state.
/// Throws InputError on all ranks, before anything is touched, where the model is another one.
void restore_state(const CheckpointReader& checkpoint, torch::nn::Module& model,
                   Optimizer& optimizer, int rank, int ranks, bool buffers);

}  // namespace thaw
