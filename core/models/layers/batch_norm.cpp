#include "core/models/layers/batch_norm.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/batch_norm.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/zeros.h>
#include <c10/util/Exception.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "core/base/error.h"
#include "core/models/layers/recomputation.h"
#include "core/models/layers/synchronized_batch_norm.h"
#include "core/parallel/communicator.h"

namespace thaw {
namespace nn {

BatchNorm::BatchNorm(const BatchNormTensors& tensors, const BatchNormSettings& settings,
                     std::pair<int, int> dimensions)
    : weight(register_parameter("weight", tensors.weight, tensors.weight.defined())),
      bias(register_parameter("bias", tensors.bias, tensors.bias.defined())),
      running_mean(register_buffer("running_mean", tensors.running_mean)),
      running_var(register_buffer("running_var", tensors.running_var)),
      num_batches_tracked(register_buffer("num_batches_tracked", tensors.num_batches_tracked)),
      settings_(settings),
      dimensions_(dimensions) {}

BatchNormTensors BatchNorm::new_tensors(std::int64_t channels, const BatchNormSettings& settings) {
  BatchNormTensors tensors;
  if (settings.affine) {
    tensors.weight = at::ones({channels});
    tensors.bias = at::zeros({channels});
  }
  if (settings.track_running_stats) {
    tensors.running_mean = at::zeros({channels});
    tensors.running_var = at::ones({channels});
    tensors.num_batches_tracked = at::zeros({}, at::kLong);
  }
  return tensors;
}

bool BatchNorm::takes_batch_statistics() const {
  return is_training() || !settings_.track_running_stats;
}

bool BatchNorm::synchronizes() const {
  return takes_batch_statistics() && communicator_ != nullptr && communicator_->size() > 1;
}

double BatchNorm::momentum_now() const {
  if (settings_.momentum) return *settings_.momentum;
  if (!num_batches_tracked.defined()) return 0;
  return 1 / std::max(1.0, num_batches_tracked.item<double>());
}

at::Tensor BatchNorm::forward(const at::Tensor& input) {
  if (input.dim() < dimensions_.first || input.dim() > dimensions_.second) {
    throw RunError(
        fmt::format("a batch normalisation over [n, C, ...] of {} to {} dimensions got "
                    "[{}]",
                    dimensions_.first, dimensions_.second, fmt::join(input.sizes(), ", ")));
  }
  const SegmentRun* const segment = SegmentRun::current();
  const bool counts = is_training() && (segment == nullptr || !segment->again());
  if (counts && num_batches_tracked.defined()) {
    const at::NoGradGuard no_grad;
    num_batches_tracked.add_(1);
  }
  // The native kernel divides by the count of values less one for the running variance.
  const bool single_value = input.numel() == input.size(1);
  if (synchronizes() || (takes_batch_statistics() && single_value)) {
    SynchronizedBatchNorm settings;
    settings.communicator = synchronizes() ? communicator_ : nullptr;
    settings.running_mean = running_mean;
    settings.running_var = running_var;
    settings.epsilon = settings_.epsilon;
    settings.momentum = momentum_now();
    settings.traffic = &traffic_;
    settings.loss_share = loss_share_;
    if (weight.defined()) return synchronized_batch_norm(input, weight, bias, settings);
    const bool is_half = input.scalar_type() == at::kHalf || input.scalar_type() == at::kBFloat16;
    const auto options = input.options().dtype(is_half ? at::kFloat : input.scalar_type());
    return synchronized_batch_norm(input, at::ones({input.size(1)}, options),
                                   at::zeros({input.size(1)}, options), settings);
  }
  const bool moves_or_reads = counts || !takes_batch_statistics();
  return at::batch_norm(input, weight, bias, moves_or_reads ? running_mean : at::Tensor(),
                        moves_or_reads ? running_var : at::Tensor(), takes_batch_statistics(),
                        momentum_now(), settings_.epsilon, /*cudnn_enabled=*/true);
}

BatchNorm1d::BatchNorm1d(std::int64_t channels, const BatchNormSettings& settings)
    : BatchNorm1d(new_tensors(channels, settings), settings) {}
BatchNorm1d::BatchNorm1d(const BatchNormTensors& tensors, const BatchNormSettings& settings)
    : BatchNorm(tensors, settings, {2, 3}) {}

BatchNorm2d::BatchNorm2d(std::int64_t channels, double epsilon, double momentum)
    : BatchNorm2d(channels, BatchNormSettings{epsilon, momentum}) {}
BatchNorm2d::BatchNorm2d(std::int64_t channels, const BatchNormSettings& settings)
    : BatchNorm2d(new_tensors(channels, settings), settings) {}
BatchNorm2d::BatchNorm2d(const BatchNormTensors& tensors, const BatchNormSettings& settings)
    : BatchNorm(tensors, settings, {4, 4}) {}

BatchNorm3d::BatchNorm3d(std::int64_t channels, const BatchNormSettings& settings)
    : BatchNorm3d(new_tensors(channels, settings), settings) {}
BatchNorm3d::BatchNorm3d(const BatchNormTensors& tensors, const BatchNormSettings& settings)
    : BatchNorm(tensors, settings, {5, 5}) {}

}  // namespace nn

BatchNorms::BatchNorms(const torch::nn::Module& module) {
  for (const auto& child : module.modules(/*include_self=*/false)) {
    if (auto* layer = dynamic_cast<nn::BatchNorm*>(child.get())) {
      layers_.push_back(layer);
    }
  }
}

void BatchNorms::set_communicator(Communicator* communicator) {
  for (nn::BatchNorm* layer : layers_) {
    layer->set_communicator(communicator);
  }
}

void BatchNorms::set_loss_share(const LossShare* share) {
  for (nn::BatchNorm* layer : layers_) layer->set_loss_share(share);
}

bool BatchNorms::synchronize() const {
  return std::any_of(layers_.begin(), layers_.end(),
                     [](const nn::BatchNorm* layer) { return layer->synchronizes(); });
}

std::int64_t BatchNorms::most_of_ranks(std::int64_t own) const {
  const auto layer = std::find_if(layers_.begin(), layers_.end(),
                                  [](const nn::BatchNorm* each) { return each->synchronizes(); });
  TORCH_CHECK(layer != layers_.end(), "BatchNorms: none is synchronised");
  Communicator& communicator = *(*layer)->communicator();
  std::vector<double> of_rank(static_cast<std::size_t>(communicator.size()), 0.0);
  of_rank[static_cast<std::size_t>(communicator.rank())] = static_cast<double>(own);
  communicator.all_reduce(of_rank);
  return static_cast<std::int64_t>(*std::max_element(of_rank.begin(), of_rank.end()));
}

BatchNormTraffic BatchNorms::traffic() const {
  BatchNormTraffic total;
  for (const nn::BatchNorm* layer : layers_) {
    total.payload_bytes += layer->traffic().payload_bytes;
    total.collectives += layer->traffic().collectives;
  }
  return total;
}

void BatchNorms::broadcast_buffers(Communicator& communicator, int root) {
  const at::NoGradGuard no_grad;
  for (nn::BatchNorm* layer : layers_) {
    if (!layer->running_mean.defined()) continue;
    communicator.broadcast(layer->running_mean, root);
    communicator.broadcast(layer->running_var, root);
    communicator.broadcast(layer->num_batches_tracked, root);
  }
}

}  // namespace thaw
