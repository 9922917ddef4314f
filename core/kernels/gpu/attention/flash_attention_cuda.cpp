#include <ATen/Context.h>
#include <ATen/core/Generator.h>
#include <ATen/native/transformers/cuda/sdp_utils.h>
#include <ATen/ops/_flash_attention_backward.h>
#include <ATen/ops/_flash_attention_forward.h>
#include <ATen/ops/add.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/sum.h>
#include <c10/cuda/CUDAException.h>
#include <c10/cuda/CUDAGuard.h>
#include <fmt/format.h>
#include <torch/csrc/autograd/custom_function.h>

#include <array>
#include <cmath>
#include <mutex>
#include <utility>

#include "core/kernels/context_values.h"
#include "core/kernels/flop_counter.h"
#include "core/kernels/gpu/attention/flash_attention.h"
#include "core/kernels/rows/device_rows.h"

namespace thaw::gpu {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;
using Draws = std::optional<DropoutDraws>;
using RowsPointer = std::shared_ptr<const SampleRows>;

/// LibTorch's generator of `device`, set for one call and set back after it.
class SeededGenerator {
 public:
  SeededGenerator(const at::Device& device, std::uint64_t seed)
      : generator_(at::globalContext().defaultGenerator(device)), lock_(generator_.mutex()) {
    seed_ = generator_.current_seed();
    offset_ = generator_.get_offset();
    generator_.set_current_seed(seed);
    lock_.unlock();  // the operator takes it
  }
  ~SeededGenerator() {
    lock_.lock();
    generator_.set_current_seed(seed_);
    generator_.set_offset(offset_);
  }
  SeededGenerator(const SeededGenerator&) = delete;
  SeededGenerator& operator=(const SeededGenerator&) = delete;

 private:
  at::Generator generator_;
  std::unique_lock<std::mutex> lock_;
  std::uint64_t seed_ = 0, offset_ = 0;
};

/// Of one use of a dropout layer in one micro-batch.
std::uint64_t seed_of(const DropoutDraws& draws) {
  const std::vector<std::int64_t>& samples = draws.rows->samples;
  const std::uint64_t key = std::uint64_t{draws.key.key[0]} << 32 | draws.key.key[1];
  const auto first = samples.empty() ? 0 : static_cast<std::uint64_t>(samples.front());
  return key + (first + 1) * 0x9E3779B97F4A7C15ULL;  // odd: no two samples meet
}

double probability_of(const Draws& draws) { return draws ? draws->key.threshold / 65536.0 : 0; }

/// The three parts of [T, columns], each [T, heads, size], without a copy.
std::array<at::Tensor, 3> parts_of(const at::Tensor& projected, const AttentionShape& shape) {
  const at::Tensor heads = projected.view({projected.size(0), -1, shape.size});
  return {heads.narrow(1, 0, shape.heads), heads.narrow(1, shape.heads, shape.key_heads),
          heads.narrow(1, shape.heads + shape.key_heads, shape.key_heads)};
}

struct Call {
  FlashKind kind;
  double probability = 0;

  std::optional<double> scale() const {
    return kind.shape.scale != 0 ? std::optional(kind.shape.scale) : std::nullopt;
  }
  /// Tokens before a query that it sees, itself not among them.
  std::optional<std::int64_t> left() const {
    return kind.shape.window > 0 ? std::optional(kind.shape.window - 1) : std::nullopt;
  }
  /// Tokens behind it that it sees.
  std::optional<std::int64_t> right() const {
    if (kind.causal) return left() ? std::optional<std::int64_t>(0) : std::nullopt;
    const std::int64_t ahead = kind.shape.ahead;
    return ahead > 0 && ahead < kAllAhead ? std::optional(ahead) : std::nullopt;
  }

  void keep_in(AutogradContext& context) const {
    const AttentionShape& s = kind.shape;
    context.saved_data["shape"] = std::vector<std::int64_t>{
        s.heads, s.key_heads, s.size, s.window, s.ahead, kind.causal ? 1 : 0};
    context.saved_data["numbers"] = std::vector<double>{s.scale, probability, kind.flops};
  }
  static Call of(AutogradContext& context) {
    const std::vector<std::int64_t> s = context.saved_data["shape"].toIntVector();
    const std::vector<double> numbers = context.saved_data["numbers"].toDoubleVector();
    return {.kind = {.shape = {.heads = s[0],
                               .key_heads = s[1],
                               .size = s[2],
                               .window = s[3],
                               .ahead = s[4],
                               .scale = numbers[0]},
                     .causal = s[5] != 0,
                     .flops = numbers[2]},
            .probability = numbers[1]};
  }
};

/// `projected` with the bias, in its own type: one pass.
at::Tensor with_bias(const at::Tensor& projected, const at::Tensor& bias) {
  at::Tensor sum = at::empty_like(projected);
  return at::add_out(sum, projected, bias);
}

struct FlashAttention : torch::autograd::Function<FlashAttention> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& projected,
                            const std::optional<at::Tensor>& bias, const FlashKind& kind,
                            const RowsPointer& rows, const Draws& draws) {
    const c10::cuda::CUDAGuard guard(projected.device());
    report_flops(FlopKind::kForward, kind.flops);
    const at::Tensor input = bias ? with_bias(projected, *bias) : projected;
    const Call call{.kind = kind, .probability = probability_of(draws)};
    const DeviceRows& index = on_device(*rows, projected.device());
    const auto [q, k, v] = parts_of(input, kind.shape);
    std::optional<SeededGenerator> seeded;
    if (draws) seeded.emplace(projected.device(), seed_of(*draws));
    const auto [output, log_sums, state, unused, _] = at::_flash_attention_forward(
        q, k, v, index.offsets, index.offsets, index.longest, index.longest, call.probability,
        kind.causal, /*return_debug_mask=*/false, call.scale(), call.left(), call.right());
    call.keep_in(*context);
    context->saved_data["rows"] = RowsHolder::pack(rows);
    context->save_for_backward({input, output, log_sums, state, unused});
    context->saved_data["has bias"] = bias.has_value();
    return output.view({projected.size(0), -1});
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const variable_list saved = context->get_saved_variables();
    const c10::cuda::CUDAGuard guard(saved[0].device());
    const Call call = Call::of(*context);
    report_flops(FlopKind::kInputGradient, 2 * call.kind.flops);
    const RowsPointer rows = RowsHolder::unpack(context->saved_data["rows"]);
    const DeviceRows& index = on_device(*rows, saved[0].device());
    const auto [q, k, v] = parts_of(saved[0], call.kind.shape);
    const at::Tensor gradient = gradients[0].contiguous().view(saved[1].sizes());
    const auto [of_q, of_k, of_v] = at::_flash_attention_backward(
        gradient, q, k, v, saved[1], saved[2], index.offsets, index.offsets, index.longest,
        index.longest, call.probability, call.kind.causal, saved[3], saved[4], call.scale(),
        call.left(), call.right());
    variable_list result(5);
    const at::Tensor whole =
        at::cat({of_q.flatten(1), of_k.flatten(1), of_v.flatten(1)}, /*dim=*/1);
    if (context->needs_input_grad(0)) result[0] = whole;
    if (context->saved_data["has bias"].toBool() && context->needs_input_grad(1)) {
      result[1] = at::sum(whole, {0}, /*keepdim=*/false, at::kFloat);
    }
    return result;
  }
};

}  // namespace

std::string why_no_flash_on(const at::Device& device, std::int64_t size) {
  if (!sdp::is_flash_attention_available()) return "this LibTorch was built without it";
  int major = 0, minor = 0;
  C10_CUDA_CHECK(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device.index()));
  C10_CUDA_CHECK(cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, device.index()));
  if (has_flash_for(major, minor, size)) return "";
  if (major < 8) {
    return fmt::format("the GPU's compute capability is {}.{}, and it takes 8.0", major, minor);
  }
  return fmt::format(
      "heads are of {} elements, and it takes multiples of 8 up to 256 (192 on GPUs of 8.6 to 8.9 "
      "and 12.x; this one is {}.{})",
      size, major, minor);
}

std::string why_no_flash(const at::Tensor& projected, const FlashKind& kind, const Draws& draws) {
  if (projected.scalar_type() != at::kBFloat16) return "it computes in bfloat16 (train.precision)";
  if (draws && !draws->fast) {
    return "its dropout is not keyed (train.attention-dropout-draws = \"fast\" allows that)";
  }
  return why_no_flash_on(projected.device(), kind.shape.size);
}

at::Tensor flash_attention(const at::Tensor& projected, const at::Tensor& bias,
                           const FlashKind& kind, RowsPointer rows, const Draws& draws) {
  if (projected.size(0) == 0) {  // a rank without samples; the graph stays whole
    return projected.narrow(1, 0, kind.shape.heads * kind.shape.size);
  }
  return FlashAttention::apply(projected.contiguous(),
                               bias.defined() ? std::optional(bias) : std::nullopt, kind, rows,
                               draws);
}

}  // namespace thaw::gpu
