#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/constant_pad_nd.h>
#include <ATen/ops/empty.h>
#include <torch/csrc/autograd/custom_function.h>

#include <cmath>

#include "core/kernels/context_values.h"
#include "core/kernels/flop_counter.h"
#include "core/kernels/gpu/attention/keyed_attention.h"
#include "core/kernels/gpu/operators.h"
#include "core/kernels/rows/balanced_heads.h"

namespace thaw::gpu {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;
using Draws = std::optional<DropoutDraws>;
using RowsPointer = std::shared_ptr<const SampleRows>;

constexpr std::int64_t kLargestHead = 128;

/// Of the kernels' sizes, the first that holds a head of `size`.
std::int64_t kernel_size(std::int64_t size) { return size <= 32 ? 32 : size <= 64 ? 64 : 128; }

double scale_of(const AttentionShape& shape) {
  return shape.scale != 0 ? shape.scale : 1 / std::sqrt(static_cast<double>(shape.size));
}

/// `projected` [T, 3 * heads * d], d one of the kernels' sizes.
struct KeyedAttention : torch::autograd::Function<KeyedAttention> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& projected,
                            const FlashKind& kind, const RowsPointer& rows, const Draws& draws) {
    report_flops(FlopKind::kForward, kind.flops);
    const std::int64_t heads = kind.shape.heads;
    const AttentionTensors tensors{
        .projected = projected,
        .biases = {},
        .output = at::empty({projected.size(0), projected.size(1) / 3}, projected.options()),
        .log_sums = at::empty({heads, projected.size(0)}, projected.options().dtype(at::kFloat)),
        .scale = scale_of(kind.shape),
        .causal = kind.causal};
    attend(tensors, heads, *rows, draws);
    context->save_for_backward({projected, tensors.output, tensors.log_sums});
    context->saved_data["numbers"] = std::vector<double>{tensors.scale, kind.flops};
    context->saved_data["heads"] = heads;
    context->saved_data["causal"] = kind.causal;
    context->saved_data["rows"] = RowsHolder::pack(rows);
    context->saved_data["draws"] = DrawsHolder::pack(draws);
    return tensors.output;
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const variable_list saved = context->get_saved_variables();
    const std::vector<double> numbers = context->saved_data["numbers"].toDoubleVector();
    report_flops(FlopKind::kInputGradient, 2 * numbers[1]);
    variable_list result(4);
    result[0] = attend_backward({.projected = saved[0],
                                 .biases = {},
                                 .output = saved[1],
                                 .log_sums = saved[2],
                                 .scale = numbers[0],
                                 .causal = context->saved_data["causal"].toBool()},
                                gradients[0].contiguous(), context->saved_data["heads"].toInt(),
                                *RowsHolder::unpack(context->saved_data["rows"]),
                                DrawsHolder::unpack(context->saved_data["draws"]));
    return result;
  }
};

/// Keys or values [T, key heads, size] for each query head.
at::Tensor for_each_query(const at::Tensor& heads, std::int64_t group) {
  const std::int64_t tokens = heads.size(0), key_heads = heads.size(1), size = heads.size(2);
  if (group == 1) return heads;
  return heads.unsqueeze(2)
      .expand({tokens, key_heads, group, size})
      .reshape({tokens, key_heads * group, size});
}

/// [T, 3 * heads * d], as the kernels take it.
at::Tensor for_kernels(const at::Tensor& projected, const AttentionShape& shape) {
  const std::int64_t more = kernel_size(shape.size) - shape.size;
  if (shape.group() == 1 && more == 0) return projected.contiguous();
  // A rank without samples has no tokens, of which no size could be inferred.
  const at::Tensor heads =
      projected.view({projected.size(0), shape.heads + 2 * shape.key_heads, shape.size});
  const auto part = [&](std::int64_t first, std::int64_t count) {
    return heads.narrow(1, first, count);
  };
  const at::Tensor all = at::cat(
      {part(0, shape.heads), for_each_query(part(shape.heads, shape.key_heads), shape.group()),
       for_each_query(part(shape.heads + shape.key_heads, shape.key_heads), shape.group())},
      1);
  return (more == 0 ? all : at::constant_pad_nd(all, {0, more})).flatten(1).contiguous();
}

}  // namespace

bool serves_keyed(const at::Tensor& projected, const FlashKind& kind, const SampleRows& rows) {
  const AttentionShape& shape = kind.shape;
  // What reaches as far as the longest sample hides nothing.
  const std::int64_t longest = longest_sample(rows);
  const bool sees_before = shape.window == 0 || shape.window >= longest;
  const bool sees_behind = kind.causal || shape.ahead == 0 || shape.ahead >= longest;
  return projected.is_cuda() && projected.scalar_type() == at::kBFloat16 &&
         shape.size <= kLargestHead && sees_before && sees_behind;
}

at::Tensor keyed_attention(const at::Tensor& projected, const at::Tensor& bias,
                           const FlashKind& kind, RowsPointer rows, const Draws& draws) {
  const AttentionShape& shape = kind.shape;
  const at::Tensor input =
      bias.defined() ? (projected + bias).to(projected.scalar_type()) : projected.contiguous();
  const at::Tensor output = KeyedAttention::apply(for_kernels(input, shape), kind, rows, draws);
  const std::int64_t size = kernel_size(shape.size);
  if (size == shape.size) return output;
  return output.view({output.size(0), shape.heads, size}).narrow(2, 0, shape.size).flatten(1);
}

}  // namespace thaw::gpu
