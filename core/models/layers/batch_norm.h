#pragma once

#include <ATen/core/Tensor.h>
#include <torch/nn/module.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace torch::nn {
class BatchNorm1dImpl;
class BatchNorm2dImpl;
class BatchNorm3dImpl;
}  // namespace torch::nn

namespace thaw {

class Communicator;
struct LossShare;

/// What synchronised BatchNorms told each other, apart from the gradients.
struct BatchNormTraffic {
  std::int64_t payload_bytes = 0;
  std::int64_t collectives = 0;
};

namespace nn {

/// As torch::nn::BatchNormOptions.
struct BatchNormSettings {
  double epsilon = 1e-5;
  std::optional<double> momentum = 0.1;  ///< nothing: the mean over all batches so far
  bool affine = true;
  bool track_running_stats = true;
};

/// What a batch normalisation holds; undefined what its settings leave out.
struct BatchNormTensors {
  at::Tensor weight, bias, running_mean, running_var, num_batches_tracked;
};

/// Batch normalisation over [n, C, ...] with torch's parameter and buffer names, synchronised over
/// ranks where it has a communicator.
///
/// In evaluation mode: the running statistics; autograd goes through. In training mode: statistics
/// over one forward, of this rank's samples, or of all ranks' (Note [Synchronised BatchNorm]).
/// Statistics are of one forward: with micro-batches, of the ranks' micro-batches of that number,
/// not of the global batch.
class BatchNorm : public torch::nn::Module {
 public:
  at::Tensor forward(const at::Tensor& input);

  /// Null: local. The communicator must outlive its use, belong to the thread that runs forward
  /// and backward, and be used for nothing else meanwhile. On all ranks or on none; the running
  /// statistics must be equal on all ranks then, and stay so bit for bit.
  void set_communicator(Communicator* communicator) { communicator_ = communicator; }
  Communicator* communicator() const { return communicator_; }

  /// Null: losses are weighted before backward, so that they add up over the ranks (the Trainer's).
  /// Else they are means over each rank's own samples (DataParallel sets it). Outlives its use.
  void set_loss_share(const LossShare* share) { loss_share_ = share; }
  const LossShare* loss_share() const { return loss_share_; }

  /// True if forward is a collective now.
  bool synchronizes() const;

  const BatchNormTraffic& traffic() const { return traffic_; }

  at::Tensor weight, bias, running_mean, running_var, num_batches_tracked;

 protected:
  /// `dimensions`: how many an input may have, at least and at most.
  BatchNorm(const BatchNormTensors& tensors, const BatchNormSettings& settings,
            std::pair<int, int> dimensions);
  static BatchNormTensors new_tensors(std::int64_t channels, const BatchNormSettings& settings);

 private:
  bool takes_batch_statistics() const;
  double momentum_now() const;

  BatchNormSettings settings_;
  std::pair<int, int> dimensions_;
  Communicator* communicator_ = nullptr;
  const LossShare* loss_share_ = nullptr;
  BatchNormTraffic traffic_;
};

/// Over [n, C] or [n, C, L].
class BatchNorm1d final : public BatchNorm {
 public:
  explicit BatchNorm1d(std::int64_t channels, const BatchNormSettings& settings = {});
  /// Shares these tensors.
  BatchNorm1d(const BatchNormTensors& tensors, const BatchNormSettings& settings);
};

/// Over [n, C, H, W].
class BatchNorm2d final : public BatchNorm {
 public:
  explicit BatchNorm2d(std::int64_t channels, double epsilon = 1e-5, double momentum = 0.1);
  BatchNorm2d(std::int64_t channels, const BatchNormSettings& settings);
  /// Shares these tensors.
  BatchNorm2d(const BatchNormTensors& tensors, const BatchNormSettings& settings);
};

/// Over [n, C, D, H, W].
class BatchNorm3d final : public BatchNorm {
 public:
  explicit BatchNorm3d(std::int64_t channels, const BatchNormSettings& settings = {});
  /// Shares these tensors.
  BatchNorm3d(const BatchNormTensors& tensors, const BatchNormSettings& settings);
};

}  // namespace nn

/// The BatchNorms of a module, to be handled together. Holds references: the module must outlive
/// it and keep its structure.
class BatchNorms {
 public:
  explicit BatchNorms(const torch::nn::Module& module);

  void set_communicator(Communicator* communicator);
  /// See nn::BatchNorm.
  void set_loss_share(const LossShare* share);

  /// True if a forward of the module is a collective now: every rank must then run the same number
  /// of forwards and backwards in a step, ranks without samples with an empty batch.
  bool synchronize() const;

  /// Where they do: the largest of the ranks' numbers, >= 0. A collective.
  std::int64_t most_of_ranks(std::int64_t own) const;

  /// Sum over all since they were made.
  BatchNormTraffic traffic() const;

  /// Overwrites all buffers with rank `root`'s. Collective. For `local` BatchNorm, whose running
  /// statistics differ between ranks, before weights are evaluated or saved.
  void broadcast_buffers(Communicator& communicator, int root = 0);

  bool empty() const { return layers_.empty(); }
  const std::vector<nn::BatchNorm*>& layers() const { return layers_; }

 private:
  std::vector<nn::BatchNorm*> layers_;
};

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
