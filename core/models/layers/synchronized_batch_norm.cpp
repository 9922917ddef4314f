#include "core/models/layers/synchronized_batch_norm.h"

#include <ATen/ops/batch_norm_update_stats.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/nan_to_num.h>
#include <ATen/ops/native_batch_norm.h>
#include <ATen/ops/native_batch_norm_backward.h>
#include <ATen/ops/scalar_tensor.h>
#include <ATen/ops/zeros.h>
#include <torch/csrc/autograd/custom_function.h>

#include <cstddef>
#include <cstdint>
#include <tuple>
#include <vector>

#include "core/base/error.h"
#include "core/base/hash.h"
#include "core/models/layers/batch_norm.h"
#include "core/models/layers/batch_norm_layout.h"
#include "core/models/layers/device_batch_norm.h"
#include "core/models/layers/recomputation.h"
#include "core/parallel/communicator.h"
#include "core/parallel/loss_share.h"

namespace thaw {
namespace {

// Note [Synchronised BatchNorm]
// The mathematics of torch.nn.SyncBatchNorm (Ioffe and Szegedy 2015 over the samples of all ranks),
// for which CPU has no kernels, with one all-reduce in forward and one in backward. Both are in
// float64, and the work over pixels is LibTorch's own batch-norm kernels.
//
// Forward sums (x - shift), (x - shift)^2 and the count, with the running mean as the shift: the
// variance then is no difference of two large numbers, and no second all-reduce is needed for the
// mean. The shift must be the same on all ranks. It is, since running statistics are computed from
// what all ranks received; but a rank that restored another state would go unnoticed for long, so a
// checksum of the running mean travels along.
//
// A rank without samples calls forward with a batch of zero rows, and backward from its (zero)
// loss: it adds zeros to both sums, and gets the same statistics as the others. The collectives of
// backward come in the same order on every rank, since autograd runs the nodes of equal graphs,
// built in the same order, in the same order: the one created last first.
//
// What a value of one rank does to the loss of another comes back in backward's sums. They are sums
// over the loss of all: where each rank's loss is the mean over its own samples, the ranks' parts
// are weighted by their samples before they are added, and the sum is brought to the scale of this
// rank's own loss, since its gradients are weighted as a whole later.

/// Payload layout of forward's all-reduce: [0, C) first moments, [C, 2 C) second moments, then
/// these.
enum Tail : std::int64_t { kCount, kChecksum, kChecksumSquared, kTailSize };

void all_reduce(const SynchronizedBatchNorm& settings, at::Tensor& payload) {
  if (settings.communicator == nullptr) {
    return;
  }
  settings.communicator->all_reduce(payload);
  settings.traffic->payload_bytes += static_cast<std::int64_t>(payload.nbytes());
  settings.traffic->collectives += 1;
}

/// 16 bits: what is made of them below is then exact in float64 and in 64 bits.
double checksum(const at::Tensor& tensor) {
  const at::Tensor host = tensor.to(at::kCPU).contiguous();
  const Fingerprint print = fingerprint(host.const_data_ptr(), host.nbytes());
  return static_cast<double>(print.low & 0xffff);
}

/// Equal numbers, and only these, have (sum)^2 = size * (sum of squares).
void require_equal_checksums(double sum, double sum_of_squares, int size) {
  const auto exact = [](double value) { return static_cast<std::uint64_t>(value); };
  if (exact(sum) * exact(sum) != exact(sum_of_squares) * static_cast<std::uint64_t>(size)) {
    throw DisagreementError(
        "the ranks hold different running statistics of a synchronised BatchNorm: were they given "
        "the same weights or the same checkpoint?");
  }
}

/// Mean and biased variance over all ranks, float64 [C], and the values per channel behind them.
struct Moments {
  at::Tensor mean, variance;
  double count = 0;
};

Moments global_moments(const at::Tensor& input, const SynchronizedBatchNorm& settings) {
  const std::int64_t channels = input.size(1);
  const bool has_running = settings.running_mean.defined();
  const at::Tensor shift = has_running
                               ? at::nan_to_num(settings.running_mean.to(at::kDouble), 0, 0, 0)
                               : at::zeros({channels}, input.options().dtype(at::kDouble));
  at::Tensor payload = at::zeros({2 * channels + kTailSize}, shift.options());
  at::Tensor first = payload.narrow(0, 0, channels);
  at::Tensor second = payload.narrow(0, channels, channels);
  at::Tensor tail = payload.narrow(0, 2 * channels, kTailSize);
  if (const std::int64_t count = values_per_channel(input); count > 0) {
    const auto [mean, variance] = at::batch_norm_update_stats(input, {}, {}, 0);
    first.copy_(mean).sub_(shift);
    second.copy_(variance).addcmul_(first, first);
    payload.mul_(static_cast<double>(count));
    tail[kCount].fill_(static_cast<double>(count));
  }
  if (settings.communicator != nullptr && has_running) {
    const double sum = checksum(settings.running_mean);
    tail[kChecksum].fill_(sum);
    tail[kChecksumSquared].fill_(sum * sum);
  }
  all_reduce(settings, payload);

  const at::Tensor host_tail = tail.to(at::kCPU);
  const double* tail_values = host_tail.const_data_ptr<double>();
  if (settings.communicator != nullptr) {
    require_equal_checksums(tail_values[kChecksum], tail_values[kChecksumSquared],
                            settings.communicator->size());
  }
  const double count = tail_values[kCount];
  payload.div_(count);
  second.addcmul_(first, first, -1).clamp_min_(0);
  return {first.add_(shift), second, count};
}

void update_running(const SynchronizedBatchNorm& settings, const Moments& moments) {
  if (moments.count < 2 || !settings.running_mean.defined()) {
    return;  // one value has no variance
  }
  const auto move = [&](at::Tensor running, const at::Tensor& value, double factor) {
    running.copy_(running.to(at::kDouble)
                      .mul_(1 - settings.momentum)
                      .add_(value, settings.momentum * factor));
  };
  move(settings.running_mean, moments.mean, 1);
  move(settings.running_var, moments.variance, moments.count / (moments.count - 1));
}

/// The moments of this forward, of which running statistics hear. A segment that runs again takes
/// those of its first run: the same bits, without asking the other ranks a second time.
Moments moments_of_forward(const at::Tensor& input, const SynchronizedBatchNorm& settings) {
  SegmentRun* const segment = SegmentRun::current();
  if (segment != nullptr && segment->again()) {
    const at::Tensor mean = segment->take();
    const at::Tensor variance = segment->take();
    return {mean, variance, segment->take().item<double>()};
  }
  const Moments moments = global_moments(input, settings);
  update_running(settings, moments);
  if (segment != nullptr) {
    segment->keep(moments.mean);
    segment->keep(moments.variance);
    segment->keep(at::scalar_tensor(moments.count, at::kDouble));
  }
  return moments;
}

/// (x - mean) / sqrt(variance + epsilon) * weight + bias: evaluation's kernel on given moments.
at::Tensor normalize(const at::Tensor& input, const at::Tensor& weight, const at::Tensor& bias,
                     const at::Tensor& mean, const at::Tensor& variance, double epsilon) {
  if (input.numel() == 0) {
    return at::empty_like(input);
  }
  return std::get<0>(
      at::native_batch_norm(input, weight, bias, mean, variance, /*training=*/false, 0, epsilon));
}

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

class SynchronizedBatchNormFunction
    : public torch::autograd::Function<SynchronizedBatchNormFunction> {
 public:
  static at::Tensor forward(AutogradContext* context, const at::Tensor& input,
                            const at::Tensor& weight, const at::Tensor& bias,
                            const SynchronizedBatchNorm& settings) {
    const at::Tensor x = in_layout_of(input, input);
    const Moments moments = moments_of_forward(x, settings);
    const at::Tensor mean = moments.mean.to(weight.scalar_type());
    const at::Tensor variance = moments.variance.to(weight.scalar_type());
    context->save_for_backward({x, weight, mean, variance});
    context->saved_data["count"] = moments.count;
    context->saved_data["epsilon"] = settings.epsilon;
    context->saved_data["communicator"] = reinterpret_cast<std::int64_t>(settings.communicator);
    context->saved_data["traffic"] = reinterpret_cast<std::int64_t>(settings.traffic);
    context->saved_data["loss_share"] = reinterpret_cast<std::int64_t>(settings.loss_share);
    return normalize(x, weight, bias, mean, variance, settings.epsilon);
  }

  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const variable_list saved = context->get_saved_variables();
    const at::Tensor &x = saved[0], &weight = saved[1], &mean = saved[2], &variance = saved[3];
    const double epsilon = context->saved_data["epsilon"].toDouble();
    const at::Tensor gradient = in_layout_of(gradients[0], x);

    at::Tensor weight_gradient = at::zeros(weight.sizes(), weight.options());
    at::Tensor bias_gradient = at::zeros(weight.sizes(), weight.options());
    if (x.numel() > 0) {
      std::tie(std::ignore, weight_gradient, bias_gradient) =
          at::native_batch_norm_backward(gradient, x, weight, mean, variance, {}, {},
                                         /*train=*/false, epsilon, {false, true, true});
    }
    at::Tensor input_gradient;
    if (context->needs_input_grad(0)) {
      at::Tensor means = at::cat({weight_gradient, bias_gradient}).to(at::kDouble);
      const SynchronizedBatchNorm settings = settings_of(context);
      if (settings.communicator == nullptr || settings.loss_share == nullptr) {
        all_reduce(settings, means);
      } else {
        const std::int64_t told = settings.loss_share->samples;
        const auto share = static_cast<double>(told >= 0 ? told : x.size(0));
        means.mul_(share);
        all_reduce(settings, means);
        if (share > 0) means.div_(share);
      }
      means.div_(context->saved_data["count"].toDouble());
      input_gradient = gradient_of_input(gradient, x, weight, mean, variance, epsilon, means);
    }
    // Of this rank's samples alone: the gradient reducer sums over ranks.
    return {input_gradient, weight_gradient, bias_gradient, at::Tensor()};
  }

 private:
  static SynchronizedBatchNorm settings_of(AutogradContext* context) {
    SynchronizedBatchNorm settings;
    settings.communicator =
        reinterpret_cast<Communicator*>(context->saved_data["communicator"].toInt());
    settings.traffic = reinterpret_cast<BatchNormTraffic*>(context->saved_data["traffic"].toInt());
    settings.loss_share =
        reinterpret_cast<const LossShare*>(context->saved_data["loss_share"].toInt());
    return settings;
  }

  /// (dy - mean(dy) - xhat mean(dy xhat)) weight / sigma, where `means` holds mean(dy xhat), then
  /// mean(dy), over all ranks.
  static at::Tensor gradient_of_input(const at::Tensor& gradient, const at::Tensor& x,
                                      const at::Tensor& weight, const at::Tensor& mean,
                                      const at::Tensor& variance, double epsilon,
                                      const at::Tensor& means) {
    const std::int64_t channels = weight.size(0);
    const at::Tensor minus_scale =
        (variance.to(at::kDouble) + epsilon).rsqrt_().mul_(weight).neg_();
    const auto in_dtype = [&](const at::Tensor& t) { return t.to(weight.scalar_type()); };
    // Both terms that do not hold dy are a normalisation of x by other weights.
    at::Tensor result = normalize(x, in_dtype(minus_scale * means.narrow(0, 0, channels)),
                                  in_dtype(minus_scale * means.narrow(0, channels, channels)), mean,
                                  variance, epsilon);
    std::vector<std::int64_t> shape(static_cast<std::size_t>(x.dim()), 1);
    shape[1] = channels;
    const at::Tensor broadcast = in_dtype(minus_scale).view(shape);
    if (x.scalar_type() != weight.scalar_type()) {  // bfloat16: the scale stays float32
      return result.sub_(gradient * broadcast);
    }
    return result.addcmul_(gradient, broadcast, -1);
  }
};

}  // namespace

at::Tensor synchronized_batch_norm(const at::Tensor& input, const at::Tensor& weight,
                                   const at::Tensor& bias, const SynchronizedBatchNorm& settings) {
  if (input.is_cuda()) return device_batch_norm(input, weight, bias, settings);
  return SynchronizedBatchNormFunction::apply(input, weight, bias, settings);
}

}  // namespace thaw
