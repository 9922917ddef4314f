#pragma once

#include <torch/nn/module.h>
#include <torch/nn/modules/batchnorm.h>

#include <cstddef>
#include <memory>

#include "core/models/layers/batch_norm.h"
#include "core/parallel/communicator.h"

namespace thaw {

/// A layer of ours that shares parameters, statistics and settings with one of LibTorch's: what a
/// module of one's own holds in its place, with the same names in checkpoints.
std::shared_ptr<nn::BatchNorm1d> converted(const torch::nn::BatchNorm1dImpl& layer);
std::shared_ptr<nn::BatchNorm2d> converted(const torch::nn::BatchNorm2dImpl& layer);
std::shared_ptr<nn::BatchNorm3d> converted(const torch::nn::BatchNorm3dImpl& layer);

/// Replaces every batch normalisation of LibTorch's in `module` by one of ours, as above, and
/// returns how many those were. They stand in a torch::nn::Sequential: one that a member holds is
/// called by that member's type, which nothing but its declaration can change.
/// Throws InputError, before anything is changed, naming one that stands elsewhere.
std::size_t convert_batch_norms(torch::nn::Module& module);

/// Batch normalisation over the samples of all ranks, for as long as an instance lives: converts
/// those of LibTorch's and lets all of them talk. `module` outlives it. A collective.
///
///     thaw::SynchronizedBatchNorms norms(world, *net);
///     thaw::DataParallel parallel(world, net);
class SynchronizedBatchNorms {
 public:
  SynchronizedBatchNorms(Communicator& world, torch::nn::Module& module);
  ~SynchronizedBatchNorms();
  SynchronizedBatchNorms(const SynchronizedBatchNorms&) = delete;
  SynchronizedBatchNorms& operator=(const SynchronizedBatchNorms&) = delete;

 private:
  std::unique_ptr<Communicator> communicator_;  ///< their own
  std::unique_ptr<BatchNorms> norms_;
};

}  // namespace thaw
