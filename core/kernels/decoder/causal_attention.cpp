#include "core/kernels/decoder/causal_attention.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/softmax.h>
#include <ATen/ops/zeros.h>
#include <c10/util/Exception.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>

#include "core/base/progress/attention_timer.h"
#include "core/kernels/context_values.h"
#include "core/kernels/decoder/causal_heads.h"
#include "core/kernels/element_types.h"
#include "core/kernels/flop_counter.h"
#include "core/kernels/fused.h"
#include "core/kernels/gpu/attention/flash_attention.h"
#include "core/kernels/gpu/attention/keyed_attention.h"
#include "core/kernels/gpu/operators.h"
#include "core/kernels/random/keyed_dropout.h"
#include "core/kernels/rows/balanced_heads.h"
#include "core/kernels/rows/device_rows.h"
#include "core/kernels/simd/scratch.h"
#include "core/kernels/simd/simd_headers.h"

#define THAW_SIMD_SOURCE "core/kernels/decoder/causal_heads.inc"
#include "core/kernels/simd/simd_each.inc"

namespace thaw {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;
using Draws = std::optional<DropoutDraws>;
using RowsPointer = std::shared_ptr<const SampleRows>;

double scale_of(const AttentionShape& shape) {
  return shape.scale != 0 ? shape.scale : 1 / std::sqrt(static_cast<double>(shape.size));
}

// ------------------------------------------------------------------ plain operators, any device

/// Which keys a query does not see, [n or 1, 1, length, length].
at::Tensor hidden_keys(const AttentionShape& shape, const at::Tensor& lengths,
                       std::int64_t length) {
  const at::Tensor at_place = at::arange(length, lengths.options());
  const at::Tensor ahead = at_place.unsqueeze(0) - at_place.unsqueeze(1);  // of key over query
  at::Tensor hidden = ahead.gt(std::min(shape.ahead, length));
  if (shape.window > 0) hidden = hidden.logical_or(ahead.le(-shape.window));
  // Tokens of the padding come after all others: only who sees ahead could see them.
  if (shape.ahead == 0) return hidden.view({1, 1, length, length});
  const at::Tensor padding = at_place.unsqueeze(0).ge(lengths.unsqueeze(1));  // [n, length]
  // Nobody reads what queries of the padding get, but it must be finite: they see all.
  return hidden.unsqueeze(0)
      .logical_or(padding.unsqueeze(1))
      .logical_and(padding.unsqueeze(2).logical_not())
      .unsqueeze(1);
}

at::Tensor plain_attention(const at::Tensor& projected, const AttentionShape& shape,
                           const SampleRows& rows, const Draws& draws) {
  const auto n = static_cast<std::int64_t>(rows.offsets.size()) - 1;
  const std::int64_t length = longest_sample(rows);
  const DeviceRows& index = on_device(rows, projected.device());
  // Where each token lies among [n, length] padded ones.
  const at::Tensor places = (index.owners.to(at::kLong) * length).add_(index.places);
  // [n, heads + 2 * key_heads, length, size]
  const at::Tensor padded = at::zeros({n * length, projected.size(1)}, projected.options())
                                .index_copy(0, places, projected)
                                .view({n, length, -1, shape.size})
                                .transpose(1, 2);
  const at::Tensor keys =
      padded.narrow(1, shape.heads, shape.key_heads).repeat_interleave(shape.group(), 1);
  const at::Tensor values = padded.narrow(1, shape.heads + shape.key_heads, shape.key_heads)
                                .repeat_interleave(shape.group(), 1);
  at::Tensor scores =
      at::matmul(padded.narrow(1, 0, shape.heads), keys.transpose(2, 3)) * scale_of(shape);
  scores = scores.masked_fill(hidden_keys(shape, index.offsets.diff(), length),
                              -std::numeric_limits<double>::infinity());
  at::Tensor probabilities =
      at::softmax(scores, -1, compute_type(projected.scalar_type())).to(projected.scalar_type());
  if (draws) {
    probabilities = keyed_attention_dropout(probabilities, *draws);
  }
  return at::matmul(probabilities, values)
      .transpose(1, 2)
      .reshape({n * length, shape.heads * shape.size})
      .index_select(0, places);
}

// ---------------------------------------------------------------------------- fused, on the host

/// Operands of both directions; `gradient` and `projected_gradient` are backward's.
struct Operands {
  at::Tensor projected;
  at::Tensor log_sums;  ///< [heads, T]; undefined if forward shall not keep them
  at::Tensor output, gradient, projected_gradient;
};

/// Of forward: two products a head, of the scores that are seen, with `size`; backward takes four.
double flops_of(const SampleRows& rows, const AttentionShape& shape) {
  double seen = 0;
  for (std::size_t i = 0; i + 1 < rows.offsets.size(); ++i) {
    const auto length = static_cast<double>(rows.offsets[i + 1] - rows.offsets[i]);
    const double reach = shape.window > 0 ? static_cast<double>(shape.window) : length;
    const double less = std::max(0.0, length - reach);  // tokens that no longer see the first
    seen += (length * (length + 1) - less * (less + 1)) / 2;
    const double ahead = std::min(static_cast<double>(shape.ahead), length - 1);
    seen += ahead * length - ahead * (ahead + 1) / 2;
  }
  return 4 * seen * static_cast<double>(shape.heads * shape.size);
}

/// What is the same for all heads.
template <typename E, typename T>
CausalHeads<E, T> heads_of(const AttentionShape& shape, const Draws& draws) {
  CausalHeads<E, T> h;
  h.size = shape.size;
  h.group = shape.group();
  h.window = shape.window;
  h.ahead = shape.ahead;
  h.scale = static_cast<T>(scale_of(shape));
  h.projected_row = shape.columns();
  h.output_row = shape.heads * shape.size;
  h.key = draws ? &draws->key : nullptr;
  return h;
}

/// Sets what is of key head `head` of the sample at `n`.
template <typename E, typename T>
void point_to(CausalHeads<E, T>& h, const Operands& o, const AttentionShape& shape,
              const SampleRows& rows, std::size_t n, std::int64_t head) {
  const std::int64_t token = rows.offsets[n], first = head * shape.group();
  h.length = rows.offsets[n + 1] - token;
  h.head = static_cast<std::uint32_t>(first);
  h.sample = static_cast<std::uint64_t>(rows.samples[n]);
  const std::int64_t columns[3] = {first, shape.heads + head, shape.heads + shape.key_heads + head};
  for (std::size_t part = 0; part < 3; ++part) {
    const std::int64_t at = token * h.projected_row + columns[part] * shape.size;
    h.projected[part] = elements<E>(o.projected) + at;
    if (o.projected_gradient.defined()) {
      h.projected_gradient[part] = mutable_elements<E>(o.projected_gradient) + at;
    }
  }
  if (o.log_sums.defined()) {
    h.log_sums_row = o.log_sums.size(1);
    h.log_sums = mutable_elements<T>(o.log_sums) + first * h.log_sums_row + token;
  }
  const std::int64_t at = token * h.output_row + first * shape.size;
  if (o.gradient.defined()) {
    h.gradient = elements<E>(o.gradient) + at;
  } else {
    h.output = mutable_elements<E>(o.output) + at;
  }
}

/// A key head of a sample is one thread's, so that no two add to one gradient.
void run_on_host(const Operands& o, const AttentionShape& shape, const SampleRows& rows,
                 const Draws& draws) {
  const AttentionTimer timer;
  const bool backward = o.gradient.defined();
  report_flops(backward ? FlopKind::kInputGradient : FlopKind::kForward,
               (backward ? 2 : 1) * flops_of(rows, shape));
  const std::int64_t scratch_size = causal_scratch(longest_sample(rows), shape.size, backward);
  with_element_types(o.projected.scalar_type(), [&]<typename E, typename T>() {
    auto* const kernel =
        backward ? THAW_PICK_SIMD(causal_backward<E, T>) : THAW_PICK_SIMD(causal_forward<E, T>);
    for_balanced_heads(rows, shape.key_heads, shape.size,
                       [&](std::int64_t first, std::int64_t last) {
                         const Scratch<T> scratch(scratch_size);
                         CausalHeads<E, T> h = heads_of<E, T>(shape, draws);
                         for (std::int64_t pair = first; pair < last; ++pair) {
                           const auto n = static_cast<std::size_t>(pair / shape.key_heads);
                           if (rows.offsets[n + 1] == rows.offsets[n]) continue;
                           point_to(h, o, shape, rows, n, pair % shape.key_heads);
                           kernel(h, scratch.get());
                         }
                       });
  });
}

at::Tensor new_output(const at::Tensor& projected, const AttentionShape& shape) {
  return at::empty({projected.size(0), shape.heads * shape.size}, projected.options());
}

struct CausalAttention : torch::autograd::Function<CausalAttention> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& projected,
                            const AttentionShape& shape, const RowsPointer& rows,
                            const Draws& draws) {
    const at::ScalarType compute = compute_type(projected.scalar_type());
    const Operands o{
        .projected = projected,
        .log_sums = at::empty({shape.heads, projected.size(0)}, projected.options().dtype(compute)),
        .output = new_output(projected, shape),
        .gradient = {},
        .projected_gradient = {}};
    run_on_host(o, shape, *rows, draws);
    context->save_for_backward({projected, o.log_sums});
    context->saved_data["shape"] = std::vector<std::int64_t>{shape.heads, shape.key_heads,
                                                             shape.size, shape.window, shape.ahead};
    context->saved_data["scale"] = shape.scale;
    context->saved_data["rows"] = RowsHolder::pack(rows);
    context->saved_data["draws"] = DrawsHolder::pack(draws);
    return o.output;
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const variable_list saved = context->get_saved_variables();
    const std::vector<std::int64_t> shape = context->saved_data["shape"].toIntVector();
    const Operands o{.projected = saved[0],
                     .log_sums = saved[1],
                     .output = {},
                     .gradient = gradients[0].contiguous(),
                     .projected_gradient = at::empty_like(saved[0])};
    run_on_host(o,
                {.heads = shape[0],
                 .key_heads = shape[1],
                 .size = shape[2],
                 .window = shape[3],
                 .ahead = shape[4],
                 .scale = context->saved_data["scale"].toDouble()},
                *RowsHolder::unpack(context->saved_data["rows"]),
                DrawsHolder::unpack(context->saved_data["draws"]));
    return {o.projected_gradient, at::Tensor(), at::Tensor(), at::Tensor()};
  }
};

/// On a GPU, attention that pads nothing: LibTorch's flash attention where it serves (Note [Flash
/// attention]), else the own kernels (Note [Heads of any size]). Else undefined, and it is told
/// why, once.
at::Tensor on_gpu(const at::Tensor& projected, const AttentionShape& shape, const RowsPointer& rows,
                  const Draws& draws) {
  if constexpr (gpu::kBuilt) {
    if (!projected.is_cuda() || !use_fused(projected)) return {};
    const gpu::FlashKind kind{
        .shape = shape, .causal = shape.ahead == 0, .flops = flops_of(*rows, shape)};
    const std::string why = gpu::why_no_flash(projected, kind, draws);
    if (why.empty()) {
      return gpu::flash_attention(projected, {}, kind, rows, draws);
    }
    if (gpu::serves_keyed(projected, kind, *rows)) {
      return gpu::keyed_attention(projected, {}, kind, rows, draws);
    }
    TORCH_WARN_ONCE("attention on this GPU pads its samples: flash attention does not serve it, ",
                    why);
  }
  return {};
}

void check(const at::Tensor& projected, const AttentionShape& shape, const SampleRows& rows) {
  TORCH_CHECK(shape.heads > 0 && shape.key_heads > 0 && shape.heads % shape.key_heads == 0 &&
                  shape.size > 0 && shape.window >= 0 && shape.ahead >= 0,
              "causal_attention: ", shape.heads, " heads for ", shape.key_heads,
              " key heads of size ", shape.size, ", window ", shape.window, ", ", shape.ahead,
              " ahead");
  TORCH_CHECK(projected.dim() == 2 && projected.size(1) == shape.columns(),
              "causal_attention: projections must be [T, ", shape.columns(), "], not ",
              projected.sizes());
  TORCH_CHECK(!rows.offsets.empty() && rows.offsets.back() == projected.size(0) &&
                  rows.offsets.size() == rows.samples.size() + 1,
              "causal_attention: offsets do not end at the last of ", projected.size(0), " tokens");
}

}  // namespace

at::Tensor causal_attention(const at::Tensor& projected, const AttentionShape& shape,
                            RowsPointer rows, const Draws& draws) {
  check(projected, shape, *rows);
  TORCH_CHECK(!draws || draws->rows->offsets == rows->offsets,
              "causal_attention: the draws are of another batch");
  const at::Tensor packed = on_gpu(projected, shape, rows, draws);
  if (packed.defined()) return packed;
  if (!projected.is_cpu() || !use_fused(projected)) {
    return plain_attention(projected, shape, *rows, draws);
  }
  const at::Tensor contiguous = projected.contiguous();
  if (records({projected})) {
    return CausalAttention::apply(contiguous, shape, rows, draws);
  }
  const Operands o{.projected = contiguous,
                   .log_sums = {},
                   .output = new_output(projected, shape),
                   .gradient = {},
                   .projected_gradient = {}};
  run_on_host(o, shape, *rows, draws);
  return o.output;
}

}  // namespace thaw
