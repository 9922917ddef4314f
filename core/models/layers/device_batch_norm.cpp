#include "core/models/layers/device_batch_norm.h"

#include <ATen/ops/batch_norm_backward_elemt.h>
#include <ATen/ops/batch_norm_backward_reduce.h>
#include <ATen/ops/batch_norm_elemt.h>
#include <ATen/ops/batch_norm_gather_stats_with_counts.h>
#include <ATen/ops/batch_norm_stats.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/full.h>
#include <ATen/ops/where.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <tuple>

#include "core/models/layers/batch_norm.h"
#include "core/models/layers/batch_norm_layout.h"
#include "core/models/layers/recomputation.h"
#include "core/models/layers/synchronized_batch_norm.h"
#include "core/parallel/communicator.h"
#include "core/parallel/loss_share.h"

namespace thaw {
namespace {

// Note [BatchNorm on a GPU]
// The same mathematics as Note [Synchronised BatchNorm], by the kernels that LibTorch has for it
// and torch.nn.SyncBatchNorm uses: each rank's mean and inverse deviation, which travel with its
// count and are merged on each GPU, and one sum in backward. The host asks for nothing and waits
// for nothing, so it does not compare checksums of the running statistics either: the audit does.
// A rank's numbers travel as its row of a table of zeros that is summed, so every rank merges the
// same bits in the same order.
// A rank without samples has a count so small that it vanishes beside any other: the kernel divides
// by the counts that it has seen, which must not be zero.

constexpr double kNoCount = 1e-30;

/// Keeps settings in an autograd context, which stores IValues.
class NormSettings : public torch::CustomClassHolder {
 public:
  explicit NormSettings(SynchronizedBatchNorm value) : settings(std::move(value)) {}
  const SynchronizedBatchNorm settings;
};

/// Over all ranks; `counts` int32 [ranks].
struct MergedStatistics {
  at::Tensor mean, inverse, counts;
};

void sum_on_stream(const SynchronizedBatchNorm& settings, const at::Tensor& payload) {
  if (settings.communicator == nullptr) return;
  settings.communicator->start_all_reduce(payload)->wait_on_stream();
  settings.traffic->payload_bytes += static_cast<std::int64_t>(payload.nbytes());
  settings.traffic->collectives += 1;
}

/// [ranks, 2 C + 1]: of each rank its means, its inverse deviations, its count.
at::Tensor table_of_ranks(const at::Tensor& x, const SynchronizedBatchNorm& settings) {
  const bool alone = settings.communicator == nullptr;
  const std::int64_t ranks = alone ? 1 : settings.communicator->size();
  const std::int64_t rank = alone ? 0 : settings.communicator->rank();
  const std::int64_t channels = x.size(1), values = values_per_channel(x);
  const auto options = at::TensorOptions(x.device())
                           .dtype(x.scalar_type() == at::kDouble ? at::kDouble : at::kFloat);
  at::Tensor table = at::zeros({ranks, 2 * channels + 1}, options);
  at::Tensor own = table.select(0, rank);
  const at::Tensor count =
      at::full({1}, values > 0 ? static_cast<double>(values) : kNoCount, options);
  if (values > 0) {
    const auto [mean, inverse] = at::batch_norm_stats(x, settings.epsilon);
    at::cat_out(own, {mean, inverse, count});
  } else {  // a variance of zero
    own.narrow(0, channels, channels).fill_(1 / std::sqrt(std::max(settings.epsilon, kNoCount)));
    own.narrow(0, 2 * channels, 1).copy_(count);
  }
  sum_on_stream(settings, table);
  return table;
}

MergedStatistics merged_statistics(const at::Tensor& x, const SynchronizedBatchNorm& settings) {
  const at::Tensor table = table_of_ranks(x, settings);
  const std::int64_t channels = x.size(1);
  const at::Tensor counts = table.select(1, 2 * channels);
  const bool has_running = settings.running_mean.defined();
  // One value has no variance, and the kernel would make the running one infinite. Whether all
  // ranks together have more is known on the device.
  const bool maybe_one = values_per_channel(x) < 2;
  const auto target = [&](const at::Tensor& running) {
    if (!has_running) return at::zeros({channels}, table.options());
    return maybe_one ? running.clone() : running;
  };
  const at::Tensor running_mean = target(settings.running_mean);
  const at::Tensor running_var = target(settings.running_var);
  const auto [mean, inverse] = at::batch_norm_gather_stats_with_counts(
      x, table.narrow(1, 0, channels), table.narrow(1, channels, channels), running_mean,
      running_var, settings.momentum, settings.epsilon, counts.to(running_mean.scalar_type()));
  if (has_running && maybe_one) {
    const at::Tensor several = counts.sum().ge(1.5);
    settings.running_mean.copy_(at::where(several, running_mean, settings.running_mean));
    settings.running_var.copy_(at::where(several, running_var, settings.running_var));
  }
  return {mean, inverse, counts.to(at::kInt)};
}

/// A segment that runs again takes those of its first run: see Note [Gradient checkpointing].
MergedStatistics statistics_of_forward(const at::Tensor& x, const SynchronizedBatchNorm& settings) {
  SegmentRun* const segment = SegmentRun::current();
  if (segment != nullptr && segment->again()) {
    const at::Tensor mean = segment->take();
    const at::Tensor inverse = segment->take();
    return {mean, inverse, segment->take()};
  }
  const MergedStatistics merged = merged_statistics(x, settings);
  if (segment != nullptr) {
    segment->keep(merged.mean);
    segment->keep(merged.inverse);
    segment->keep(merged.counts);
  }
  return merged;
}

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

class DeviceBatchNorm : public torch::autograd::Function<DeviceBatchNorm> {
 public:
  static at::Tensor forward(AutogradContext* context, const at::Tensor& input,
                            const at::Tensor& weight, const at::Tensor& bias,
                            const SynchronizedBatchNorm& settings) {
    const at::Tensor x = in_layout_of(input, input);
    const MergedStatistics merged = statistics_of_forward(x, settings);
    context->save_for_backward({x, weight, merged.mean, merged.inverse, merged.counts});
    context->saved_data["settings"] =
        at::IValue::make_capsule(c10::make_intrusive<NormSettings>(settings));
    if (x.numel() == 0) return at::empty_like(x);
    return at::batch_norm_elemt(x, weight, bias, merged.mean, merged.inverse, settings.epsilon);
  }

  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const variable_list saved = context->get_saved_variables();
    const at::Tensor &x = saved[0], &weight = saved[1], &mean = saved[2], &inverse = saved[3];
    const auto holder = c10::static_intrusive_pointer_cast<NormSettings>(
        context->saved_data["settings"].toCapsule());
    const at::Tensor gradient = in_layout_of(gradients[0], x);
    const bool of_input = context->needs_input_grad(0);

    at::Tensor sum, sum_with_x, weight_gradient, bias_gradient;
    if (x.numel() > 0) {
      std::tie(sum, sum_with_x, weight_gradient, bias_gradient) = at::batch_norm_backward_reduce(
          gradient, x, mean, inverse, weight, of_input, /*weight_g=*/true, /*bias_g=*/true);
    } else {
      weight_gradient = at::zeros_like(weight);
      bias_gradient = at::zeros_like(weight);
      sum = sum_with_x = at::zeros_like(mean);
    }
    at::Tensor input_gradient;
    if (of_input) {
      at::Tensor sums = at::cat({sum, sum_with_x});
      add_up(holder->settings, x, sums);
      const std::int64_t channels = weight.size(0);
      input_gradient = x.numel() == 0
                           ? at::empty_like(x)
                           : at::batch_norm_backward_elemt(
                                 gradient, x, mean, inverse, weight, sums.narrow(0, 0, channels),
                                 sums.narrow(0, channels, channels), saved[4]);
    }
    // Of this rank's samples alone: the gradient reducer sums over ranks.
    return {input_gradient, weight_gradient, bias_gradient, at::Tensor()};
  }

 private:
  /// Over the ranks, on the scale of this rank's own loss.
  static void add_up(const SynchronizedBatchNorm& settings, const at::Tensor& x, at::Tensor& sums) {
    if (settings.communicator == nullptr || settings.loss_share == nullptr) {
      sum_on_stream(settings, sums);
      return;
    }
    const std::int64_t told = settings.loss_share->samples;
    const auto share = static_cast<double>(told >= 0 ? told : x.size(0));
    sums.mul_(share);
    sum_on_stream(settings, sums);
    if (share > 0) sums.div_(share);
  }
};

}  // namespace

at::Tensor device_batch_norm(const at::Tensor& input, const at::Tensor& weight,
                             const at::Tensor& bias, const SynchronizedBatchNorm& settings) {
  return DeviceBatchNorm::apply(input, weight, bias, settings);
}

}  // namespace thaw
