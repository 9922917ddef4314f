#include "core/models/layers/batch_norm.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/batch_norm.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/zeros.h>

#include <algorithm>

#include "core/models/layers/recomputation.h"
#include "core/models/layers/synchronized_batch_norm.h"
#include "core/parallel/communicator.h"

namespace thaw {
namespace nn {

BatchNorm2d::BatchNorm2d(std::int64_t channels, double epsilon, double momentum)
    : weight(register_parameter("weight", at::ones({channels}))),
      bias(register_parameter("bias", at::zeros({channels}))),
      running_mean(register_buffer("running_mean", at::zeros({channels}))),
      running_var(register_buffer("running_var", at::ones({channels}))),
      num_batches_tracked(register_buffer("num_batches_tracked", at::zeros({}, at::kLong))),
      epsilon_(epsilon),
      momentum_(momentum) {}

bool BatchNorm2d::synchronizes() const {
  return is_training() && communicator_ != nullptr && communicator_->size() > 1;
}

at::Tensor BatchNorm2d::forward(const at::Tensor& input) {
  const SegmentRun* const segment = SegmentRun::current();
  const bool counts = is_training() && (segment == nullptr || !segment->again());
  if (counts) {
    const at::NoGradGuard no_grad;
    num_batches_tracked.add_(1);
  }
  // The native kernel divides by the count of values less one for the running variance.
  const bool single_value = input.numel() == weight.numel();
  if (synchronizes() || (is_training() && single_value)) {
    SynchronizedBatchNorm settings;
    settings.communicator = synchronizes() ? communicator_ : nullptr;
    settings.running_mean = running_mean;
    settings.running_var = running_var;
    settings.epsilon = epsilon_;
    settings.momentum = momentum_;
    settings.traffic = &traffic_;
    return synchronized_batch_norm(input, weight, bias, settings);
  }
  const bool moves_or_reads = counts || !is_training();
  return at::batch_norm(input, weight, bias, moves_or_reads ? running_mean : at::Tensor(),
                        moves_or_reads ? running_var : at::Tensor(), is_training(), momentum_,
                        epsilon_, /*cudnn_enabled=*/true);
}

}  // namespace nn

BatchNorms::BatchNorms(torch::nn::Module& module) {
  for (const auto& child : module.modules(/*include_self=*/false)) {
    if (auto* layer = dynamic_cast<nn::BatchNorm2d*>(child.get())) {
      layers_.push_back(layer);
    }
  }
}

void BatchNorms::set_communicator(Communicator* communicator) {
  for (nn::BatchNorm2d* layer : layers_) {
    layer->set_communicator(communicator);
  }
}

bool BatchNorms::synchronize() const {
  return std::any_of(layers_.begin(), layers_.end(),
                     [](const nn::BatchNorm2d* layer) { return layer->synchronizes(); });
}

BatchNormTraffic BatchNorms::traffic() const {
  BatchNormTraffic total;
  for (const nn::BatchNorm2d* layer : layers_) {
    total.payload_bytes += layer->traffic().payload_bytes;
    total.collectives += layer->traffic().collectives;
  }
  return total;
}

void BatchNorms::broadcast_buffers(Communicator& communicator, int root) {
  const at::NoGradGuard no_grad;
  for (nn::BatchNorm2d* layer : layers_) {
    communicator.broadcast(layer->running_mean, root);
    communicator.broadcast(layer->running_var, root);
    communicator.broadcast(layer->num_batches_tracked, root);
  }
}

}  // namespace thaw
