#include "core/kernels/random/keyed_dropout.h"

#include <ATen/Dispatch.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/zeros_like.h>
#include <c10/util/Exception.h>
#include <torch/csrc/autograd/custom_function.h>

#include "core/kernels/column_sums.h"
#include "core/kernels/context_values.h"
#include "core/kernels/element_types.h"
#include "core/kernels/gpu/operators.h"
#include "core/kernels/simd/simd_headers.h"

#define THAW_SIMD_SOURCE "core/kernels/random/keyed_dropout.inc"
#include "core/kernels/simd/simd_each.inc"

namespace thaw {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

at::Tensor drop_on_host(const at::Tensor& input, const DropoutDraws& draws, bool packed) {
  at::Tensor output = at::empty_like(input);
  const std::int64_t rows = input.size(0);
  const std::int64_t width = input.numel() / rows;
  with_element_types(input.scalar_type(), [&]<typename E, typename T>() {
    auto* const kernel = THAW_PICK_SIMD(drop_rows<E, T>);
    const E* in = elements<E>(input);
    E* out = mutable_elements<E>(output);
    at::parallel_for(0, rows, row_grain(width), [&](std::int64_t begin, std::int64_t end) {
      kernel(in, out, begin, end, width, draws.key, RowSamples(*draws.rows, packed, begin));
    });
  });
  return output;
}

at::Tensor drop(const at::Tensor& input, const DropoutDraws& draws) {
  const bool packed = rows_are_tokens(*draws.rows, input.dim() == 0 ? -1 : input.size(0));
  if (input.numel() == 0) {
    return at::empty_like(input);
  }
  const at::Tensor contiguous = input.contiguous();
  if constexpr (gpu::kBuilt) {
    if (input.is_cuda()) return gpu::drop_rows(contiguous, draws, packed);
  }
  TORCH_CHECK(input.is_cpu(), "keyed dropout: no kernel for ", input.device());
  return drop_on_host(contiguous, draws, packed);
}

/// One (sample, head) after the other; the host has its own fused attention, so this serves tests
/// and whoever composes attention from plain operators.
at::Tensor drop_attention_on_host(const at::Tensor& input, const DropoutDraws& draws) {
  at::Tensor output = at::zeros_like(input);
  const std::int64_t heads = input.size(1), padded = input.size(2);
  const std::vector<std::int64_t>& offsets = draws.rows->offsets;
  at::parallel_for(0, input.size(0) * heads, 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t matrix = begin; matrix < end; ++matrix) {
      const auto n = static_cast<std::size_t>(matrix / heads);
      const auto head = static_cast<std::uint32_t>(matrix % heads);
      const auto sample = static_cast<std::uint64_t>(draws.rows->samples[n]);
      const std::int64_t length = offsets[n + 1] - offsets[n];
      AT_DISPATCH_FLOATING_TYPES_AND(at::kBFloat16, input.scalar_type(), "attention_dropout", [&] {
        const scalar_t* in = input.const_data_ptr<scalar_t>() + matrix * padded * padded;
        scalar_t* out = output.mutable_data_ptr<scalar_t>() + matrix * padded * padded;
        for (std::int64_t i = 0; i < length * length; ++i) {
          const std::int64_t at = i / length * padded + i % length;
          out[at] = draws.key.keeps(sample, head, static_cast<std::uint32_t>(i))
                        ? static_cast<scalar_t>(in[at] * draws.key.scale)
                        : scalar_t(0);
        }
      });
    }
  });
  return output;
}

at::Tensor drop_attention(const at::Tensor& input, const DropoutDraws& draws) {
  const std::vector<std::int64_t>& offsets = draws.rows->offsets;
  TORCH_CHECK(input.dim() == 4 && input.size(2) == input.size(3) && !offsets.empty() &&
                  input.size(0) == draws.rows->size(),
              "keyed attention dropout: probabilities must be [n, heads, L, L] for packed samples");
  for (std::size_t i = 1; i < offsets.size(); ++i) {
    TORCH_CHECK(offsets[i] - offsets[i - 1] <= input.size(2),
                "keyed attention dropout: a sample is longer than L");
  }
  const at::Tensor contiguous = input.contiguous();
  if constexpr (gpu::kBuilt) {
    if (input.is_cuda()) return gpu::drop_attention_rows(contiguous, draws);
  }
  TORCH_CHECK(input.is_cpu(), "keyed attention dropout: no kernel for ", input.device());
  return drop_attention_on_host(contiguous, draws);
}

/// Dropout is linear, so its backward is the same map. `Drop` is one of the two functions above.
template <at::Tensor (*Drop)(const at::Tensor&, const DropoutDraws&)>
struct KeyedDropout : torch::autograd::Function<KeyedDropout<Drop>> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& input,
                            const DropoutDraws& draws) {
    context->saved_data["draws"] = DrawsHolder::pack(draws);
    return Drop(input, draws);
  }
  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    return {Drop(gradients[0], *DrawsHolder::unpack(context->saved_data["draws"])), at::Tensor()};
  }
};

}  // namespace

at::Tensor keyed_dropout(const at::Tensor& input, const DropoutDraws& draws) {
  return KeyedDropout<drop>::apply(input, draws);
}

at::Tensor keyed_attention_dropout(const at::Tensor& probabilities, const DropoutDraws& draws) {
  return KeyedDropout<drop_attention>::apply(probabilities, draws);
}

}  // namespace thaw
