#pragma once

#include <ATen/core/Tensor.h>
#include <torch/nn/module.h>

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace thaw {

class Communicator;

/// What synchronised BatchNorms told each other, apart from the gradients.
struct BatchNormTraffic {
  std::int64_t payload_bytes = 0;
  std::int64_t collectives = 0;
};

namespace nn {

/// Batch normalisation over [n, C, H, W] with torch's parameter and buffer names, synchronised
/// over ranks where it has a communicator.
///
/// In evaluation mode: the running statistics; autograd goes through. In training mode: statistics
/// over one forward, of this rank's samples, or of all ranks' (Note [Synchronised BatchNorm]).
/// Statistics are of one forward: with micro-batches, of the ranks' micro-batches of that number,
/// not of the global batch.
class BatchNorm2d : public torch::nn::Module {
 public:
  explicit BatchNorm2d(std::int64_t channels, double epsilon = 1e-5, double momentum = 0.1);

  at::Tensor forward(const at::Tensor& input);

  /// Null: local. The communicator must outlive its use, belong to the thread that runs forward
  /// and backward, and be used for nothing else meanwhile. On all ranks or on none; the running
  /// statistics must be equal on all ranks then, and stay so bit for bit.
  void set_communicator(Communicator* communicator) { communicator_ = communicator; }

  /// True if forward is a collective now.
  bool synchronizes() const;

  const BatchNormTraffic& traffic() const { return traffic_; }

  at::Tensor weight, bias, running_mean, running_var, num_batches_tracked;

 private:
  double epsilon_;
  double momentum_;
  Communicator* communicator_ = nullptr;
  BatchNormTraffic traffic_;
};

}  // namespace nn

/// The BatchNorms of a module, to be handled together. Holds references: the module must outlive
/// it and keep its structure.
class BatchNorms {
 public:
  explicit BatchNorms(torch::nn::Module& module);

  void set_communicator(Communicator* communicator);

  /// True if a forward of the module is a collective now: every rank must then run the same number
  /// of forwards and backwards in a step, ranks without samples with an empty batch.
  bool synchronize() const;

  /// Sum over all since they were made.
  BatchNormTraffic traffic() const;

  /// Overwrites all buffers with rank `root`'s. Collective. For `local` BatchNorm, whose running
  /// statistics differ between ranks, before weights are evaluated or saved.
  void broadcast_buffers(Communicator& communicator, int root = 0);

  bool empty() const { return layers_.empty(); }
  const std::vector<nn::BatchNorm2d*>& layers() const { return layers_; }

 private:
  std::vector<nn::BatchNorm2d*> layers_;
};

}  // namespace thaw
