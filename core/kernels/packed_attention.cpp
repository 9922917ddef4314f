#include "core/kernels/packed_attention.h"

#include <ATen/Context.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/softmax.h>
#include <ATen/ops/sum.h>
#include <ATen/ops/zeros.h>
#include <c10/util/Exception.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <string>

#include "core/base/progress/attention_timer.h"
#include "core/kernels/attention_head.h"
#include "core/kernels/column_sums.h"
#include "core/kernels/context_values.h"
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

#define THAW_SIMD_SOURCE "core/kernels/attention_head.inc"
#include "core/kernels/simd/simd_each.inc"

namespace thaw {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;
using Draws = std::optional<DropoutDraws>;
using RowsPointer = std::shared_ptr<const SampleRows>;

// ------------------------------------------------------------------ plain operators, any device

at::Tensor plain(const at::Tensor& projected, const std::array<at::Tensor, 3>& biases,
                 std::int64_t heads, const SampleRows& rows, const Draws& draws) {
  const auto n = static_cast<std::int64_t>(rows.offsets.size()) - 1;
  const std::int64_t length = longest_sample(rows);
  const std::int64_t width = projected.size(1) / 3;
  const std::int64_t size = width / heads;
  const DeviceRows& index = on_device(rows, projected.device());
  // Where each token lies among [n, length] padded ones.
  const at::Tensor places = (index.owners.to(at::kLong) * length).add_(index.places);
  const at::Tensor with_bias =
      (projected + at::cat({biases[0], biases[1], biases[2]})).to(projected.scalar_type());
  // [3, n, heads, length, size]
  const at::Tensor padded = at::zeros({n * length, 3 * width}, projected.options())
                                .index_copy(0, places, with_bias)
                                .view({n, length, 3, heads, size})
                                .permute({2, 0, 3, 1, 4});
  at::Tensor scores =
      at::matmul(padded[0], padded[1].transpose(2, 3)) / std::sqrt(static_cast<double>(size));
  const at::Tensor lengths = index.offsets.diff();
  const at::Tensor outside = at::arange(length, lengths.options())
                                 .unsqueeze(0)
                                 .ge(lengths.unsqueeze(1))
                                 .view({n, 1, 1, length});
  scores = scores.masked_fill(outside, -std::numeric_limits<double>::infinity());
  // Padded queries attend too, to the same keys, and nobody reads what they get.
  at::Tensor probabilities =
      at::softmax(scores, -1, compute_type(projected.scalar_type())).to(projected.scalar_type());
  if (draws) {
    probabilities = keyed_attention_dropout(probabilities, *draws);
  }
  return at::matmul(probabilities, padded[2])
      .transpose(1, 2)
      .reshape({n * length, width})
      .index_select(0, places);
}

// ---------------------------------------------------------------------------- fused, on the host

/// Operands of both directions; `gradient` and `projected_gradient` are backward's.
struct Operands {
  at::Tensor projected;
  std::array<at::Tensor, 3> biases;
  at::Tensor log_sums;  ///< [heads, T]; undefined if forward shall not keep them
  at::Tensor output, gradient, projected_gradient;
};

/// Of forward: two products a head, [length, length] with [length, size]; backward takes four.
double flops_of(const SampleRows& rows, std::int64_t width) {
  double scores = 0;
  for (std::size_t i = 0; i + 1 < rows.offsets.size(); ++i) {
    const auto length = static_cast<double>(rows.offsets[i + 1] - rows.offsets[i]);
    scores += length * length;
  }
  return 4 * scores * static_cast<double>(width);
}

void report_flops_of(const SampleRows& rows, std::int64_t width, bool backward) {
  report_flops(backward ? FlopKind::kInputGradient : FlopKind::kForward,
               (backward ? 2 : 1) * flops_of(rows, width));
}

void run_on_host(const Operands& o, std::int64_t heads, const SampleRows& rows,
                 const Draws& draws) {
  const AttentionTimer timer;
  const std::int64_t tokens = o.projected.size(0);
  const std::int64_t width = o.projected.size(1) / 3;
  const std::int64_t size = width / heads;
  const bool backward = o.gradient.defined();
  report_flops_of(rows, width, backward);
  const std::int64_t scratch_size = attention_scratch(longest_sample(rows), size, backward);
  with_element_types(o.projected.scalar_type(), [&]<typename E, typename T>() {
    auto* const kernel = backward ? THAW_PICK_SIMD(attention_backward<E, T>)
                                  : THAW_PICK_SIMD(attention_forward<E, T>);
    for_balanced_heads(rows, heads, size, [&](std::int64_t first, std::int64_t last) {
      const Scratch<T> scratch(scratch_size);
      AttentionHead<E, T> h;
      h.size = size;
      h.projected_row = 3 * width;
      h.output_row = width;
      h.key = draws ? &draws->key : nullptr;
      for (std::int64_t pair = first; pair < last; ++pair) {
        const auto n = static_cast<std::size_t>(pair / heads);
        const std::int64_t head = pair % heads;
        const std::int64_t token = rows.offsets[n];
        h.length = rows.offsets[n + 1] - token;
        if (h.length == 0) {
          continue;
        }
        h.head = static_cast<std::uint32_t>(head);
        h.sample = draws ? static_cast<std::uint64_t>(draws->rows->samples[n]) : 0;
        for (std::int64_t part = 0; part < 3; ++part) {
          const auto p = static_cast<std::size_t>(part);
          const std::int64_t at = token * 3 * width + part * width + head * size;
          h.projected[p] = elements<E>(o.projected) + at;
          h.bias[p] = elements<T>(o.biases[p]) + head * size;
          if (backward) {
            h.projected_gradient[p] = mutable_elements<E>(o.projected_gradient) + at;
          }
        }
        if (o.log_sums.defined()) {
          h.log_sums = mutable_elements<T>(o.log_sums) + head * tokens + token;
        }
        if (backward) {
          h.gradient = elements<E>(o.gradient) + token * width + head * size;
        } else {
          h.output = mutable_elements<E>(o.output) + token * width + head * size;
        }
        kernel(h, scratch.get());
      }
    });
  });
}

/// Forward on the host or a GPU; what `o` names of backward is not there.
void run_forward(const Operands& o, std::int64_t heads, const SampleRows& rows,
                 const Draws& draws) {
  if constexpr (gpu::kBuilt) {
    if (o.projected.is_cuda()) {
      report_flops_of(rows, o.output.size(1), /*backward=*/false);
      return gpu::attend({.projected = o.projected,
                          .biases = o.biases,
                          .output = o.output,
                          .log_sums = o.log_sums},
                         heads, rows, draws);
    }
  }
  run_on_host(o, heads, rows, draws);
}

/// The gradient of `projected`.
at::Tensor run_backward(const variable_list& saved, const at::Tensor& gradient, std::int64_t heads,
                        const SampleRows& rows, const Draws& draws) {
  if constexpr (gpu::kBuilt) {
    if (gradient.is_cuda()) {
      report_flops_of(rows, gradient.size(1), /*backward=*/true);
      return gpu::attend_backward({.projected = saved[0],
                                   .biases = {saved[1], saved[2], saved[3]},
                                   .output = saved[5],
                                   .log_sums = saved[4]},
                                  gradient, heads, rows, draws);
    }
  }
  const Operands o{.projected = saved[0],
                   .biases = {saved[1], saved[2], saved[3]},
                   .log_sums = saved[4],
                   .output = {},
                   .gradient = gradient,
                   .projected_gradient = at::empty_like(saved[0])};
  run_on_host(o, heads, rows, draws);
  return o.projected_gradient;
}

/// The sums of each column on the host, in `type`: LibTorch's would first convert bfloat16 in a
/// pass of its own.
at::Tensor host_column_sums(const at::Tensor& matrix, at::ScalarType type) {
  at::Tensor sums = at::empty({matrix.size(1)}, matrix.options().dtype(type));
  with_element_types(matrix.scalar_type(), [&]<typename E, typename T>() {
    auto* const kernel = THAW_PICK_SIMD(add_rows<E, T>);
    const std::int64_t columns = matrix.size(1);
    sum_over_rows<T>(matrix.size(0), row_grain(columns), columns, mutable_elements<T>(sums),
                     [&](std::int64_t begin, std::int64_t end, T* partial) {
                       kernel(elements<E>(matrix), columns, begin, end, partial);
                     });
  });
  return sums;
}

/// Sums the projections' gradient, `result[0]`, to those of the three biases, where they are
/// wanted.
void add_bias_gradients(const AutogradContext* context, const variable_list& saved,
                        variable_list& result) {
  const std::int64_t width = result[0].size(1) / 3;
  const std::array<bool, 3> wanted = {context->needs_input_grad(1), context->needs_input_grad(2),
                                      context->needs_input_grad(3)};
  const auto count = std::count(wanted.begin(), wanted.end(), true);
  const at::ScalarType type = saved[1].scalar_type();
  const auto sum = [&](const at::Tensor& columns) {
    return at::sum(columns, {0}, /*keepdim=*/false, type);
  };
  at::Tensor together;
  if (result[0].is_cuda()) {
    if (count == 3) together = sum(result[0]);  // a GPU is asked once for all columns
  } else if (count > 0) {
    together = host_column_sums(result[0], type);
  }
  for (std::size_t part = 0; part < 3; ++part) {
    if (!wanted[part]) continue;
    const std::int64_t first = static_cast<std::int64_t>(part) * width;
    result[part + 1] = together.defined() ? together.narrow(0, first, width)
                                          : sum(result[0].narrow(1, first, width));
  }
}

struct PackedAttention : torch::autograd::Function<PackedAttention> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& projected,
                            const at::Tensor& q_bias, const at::Tensor& k_bias,
                            const at::Tensor& v_bias, std::int64_t heads, const RowsPointer& rows,
                            const Draws& draws) {
    const at::ScalarType compute = compute_type(projected.scalar_type());
    const Operands o{
        .projected = projected,
        .biases = {q_bias, k_bias, v_bias},
        .log_sums = at::empty({heads, projected.size(0)}, projected.options().dtype(compute)),
        .output = at::empty({projected.size(0), projected.size(1) / 3}, projected.options()),
        .gradient = {},
        .projected_gradient = {}};
    run_forward(o, heads, *rows, draws);
    // The host's backward sums up what the GPU's takes from the output.
    context->save_for_backward({projected, q_bias, k_bias, v_bias, o.log_sums,
                                projected.is_cuda() ? o.output : at::Tensor()});
    context->saved_data["heads"] = heads;
    context->saved_data["rows"] = RowsHolder::pack(rows);
    context->saved_data["draws"] = DrawsHolder::pack(draws);
    return o.output;
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const variable_list saved = context->get_saved_variables();
    const std::int64_t heads = context->saved_data["heads"].toInt();
    const RowsPointer rows = RowsHolder::unpack(context->saved_data["rows"]);
    variable_list result(7);
    result[0] = run_backward(saved, gradients[0].contiguous(), heads, *rows,
                             DrawsHolder::unpack(context->saved_data["draws"]));
    add_bias_gradients(context, saved, result);
    return result;
  }
};

/// Of kernels that take other sizes of heads than `serves` says: LibTorch's flash attention where
/// it serves (Note [Flash attention]), else the own ones (Note [Heads of any size]). Else
/// undefined; where `draws` would allow flash attention, or what else there is pads, it is told
/// why, once.
at::Tensor on_gpu(const at::Tensor& projected, const std::array<at::Tensor, 3>& biases,
                  std::int64_t heads, const RowsPointer& rows, const Draws& draws, bool has_own) {
  if constexpr (gpu::kBuilt) {
    if (!projected.is_cuda() || !use_fused(projected)) return {};
    const bool wanted = !draws || draws->fast;
    if (has_own && (!wanted || at::globalContext().deterministicAlgorithms())) return {};
    const std::int64_t width = projected.size(1) / 3;
    const gpu::FlashKind kind{.shape = {.heads = heads, .key_heads = heads, .size = width / heads},
                              .causal = false,
                              .flops = flops_of(*rows, width)};
    const auto bias = [&] {
      return in_compute_type(at::cat({biases[0], biases[1], biases[2]}), projected.scalar_type());
    };
    const std::string why = gpu::why_no_flash(projected, kind, draws);
    if (why.empty()) return gpu::flash_attention(projected, bias(), kind, rows, draws);
    if (!has_own && gpu::serves_keyed(projected, kind, *rows)) {
      return gpu::keyed_attention(projected, bias(), kind, rows, draws);
    }
    if (!has_own) {
      TORCH_WARN_ONCE("attention on this GPU pads its samples: flash attention does not serve it, ",
                      why);
    } else if (draws) {
      TORCH_WARN_ONCE("attention draws its dropout by keys: flash attention does not serve it, ",
                      why);
    }
  }
  return {};
}

/// Whether there is a fused version for these.
bool serves(const at::Tensor& projected, std::int64_t heads) {
  if constexpr (gpu::kBuilt) {
    if (projected.is_cuda()) return use_fused(projected) && gpu::attends(projected, heads);
  }
  return use_fused(projected);
}

void check(const at::Tensor& projected, const std::array<at::Tensor, 3>& biases, std::int64_t heads,
           const SampleRows& rows) {
  TORCH_CHECK(projected.dim() == 2 && heads > 0 && projected.size(1) % (3 * heads) == 0,
              "packed_attention: projections must be [T, 3 * heads * d], not ", projected.sizes(),
              " for ", heads, " heads");
  for (const at::Tensor& bias : biases) {
    TORCH_CHECK(bias.sizes() == at::IntArrayRef{projected.size(1) / 3},
                "packed_attention: a bias is ", bias.sizes());
  }
  TORCH_CHECK(!rows.offsets.empty() && rows.offsets.back() == projected.size(0) &&
                  rows.offsets.size() == rows.samples.size() + 1,
              "packed_attention: offsets do not end at the last of ", projected.size(0), " tokens");
}

}  // namespace

at::Tensor packed_attention(const at::Tensor& projected, const std::array<at::Tensor, 3>& biases,
                            std::int64_t heads, RowsPointer rows, const Draws& draws) {
  check(projected, biases, heads, *rows);
  TORCH_CHECK(!draws || draws->rows->offsets == rows->offsets,
              "packed_attention: the draws are of another batch");
  const bool has_own = serves(projected, heads);
  const at::Tensor packed = on_gpu(projected, biases, heads, rows, draws, has_own);
  if (packed.defined()) return packed;
  if (!has_own) {
    return plain(projected, biases, heads, *rows, draws);
  }
  const at::Tensor contiguous = projected.contiguous();
  std::array<at::Tensor, 3> fitting;
  for (std::size_t p = 0; p < 3; ++p) {
    fitting[p] = in_compute_type(biases[p], projected.scalar_type());
  }
  if (records({projected, biases[0], biases[1], biases[2]})) {
    return PackedAttention::apply(contiguous, fitting[0], fitting[1], fitting[2], heads, rows,
                                  draws);
  }
  const at::Tensor output =
      at::empty({projected.size(0), projected.size(1) / 3}, projected.options());
  run_forward({.projected = contiguous,
               .biases = fitting,
               .log_sums = {},
               .output = output,
               .gradient = {},
               .projected_gradient = {}},
              heads, *rows, draws);
  return output;
}

}  // namespace thaw
