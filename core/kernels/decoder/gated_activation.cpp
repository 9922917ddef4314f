#include "core/kernels/decoder/gated_activation.h"

#include <ATen/Parallel.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <c10/util/Exception.h>
#include <torch/csrc/autograd/custom_function.h>

#include "core/kernels/activation.h"
#include "core/kernels/column_sums.h"
#include "core/kernels/element_types.h"
#include "core/kernels/fused.h"
#include "core/kernels/gpu/operators.h"
#include "core/kernels/simd/simd_headers.h"

#define THAW_SIMD_SOURCE "core/kernels/decoder/gated_activation.inc"
#include "core/kernels/simd/simd_each.inc"

namespace thaw {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

at::Tensor plain_gate(const at::Tensor& gate_and_up, Activation activation) {
  const std::int64_t width = gate_and_up.size(1) / 2;
  const at::Tensor both = gate_and_up.to(compute_type(gate_and_up.scalar_type()));
  const at::Tensor gate = both.narrow(1, 0, width), up = both.narrow(1, width, width);
  return (plain_activation(gate, activation) * up).to(gate_and_up.scalar_type());
}

at::Tensor run_forward(const at::Tensor& input, Activation activation) {
  const std::int64_t rows = input.size(0), width = input.size(1) / 2;
  at::Tensor output = at::empty({rows, width}, input.options());
  if constexpr (gpu::kBuilt) {
    if (input.is_cuda()) {
      gpu::gate_rows(input, output, activation);
      return output;
    }
  }
  with_element_types(input.scalar_type(), [&]<typename E, typename T>() {
    const E* in = elements<E>(input);
    E* out = mutable_elements<E>(output);
    with_activation(activation, [&](auto which) {
      auto* const kernel = THAW_PICK_SIMD(gate_rows<decltype(which)::value, E, T>);
      at::parallel_for(0, rows, row_grain(width), [&](std::int64_t begin, std::int64_t end) {
        kernel(in + begin * 2 * width, out + begin * width, end - begin, width);
      });
    });
  });
  return output;
}

at::Tensor run_backward(const at::Tensor& gradient, const at::Tensor& input,
                        Activation activation) {
  const std::int64_t rows = input.size(0), width = input.size(1) / 2;
  at::Tensor result = at::empty_like(input);
  if constexpr (gpu::kBuilt) {
    if (input.is_cuda()) {
      gpu::gate_rows_backward(gradient, input, result, activation);
      return result;
    }
  }
  with_element_types(input.scalar_type(), [&]<typename E, typename T>() {
    const E* dy = elements<E>(gradient);
    const E* in = elements<E>(input);
    E* dx = mutable_elements<E>(result);
    with_activation(activation, [&](auto which) {
      auto* const kernel = THAW_PICK_SIMD(gate_rows_backward<decltype(which)::value, E, T>);
      at::parallel_for(0, rows, row_grain(width), [&](std::int64_t begin, std::int64_t end) {
        const std::int64_t at = begin * width;
        kernel(dy + at, in + 2 * at, dx + 2 * at, end - begin, width);
      });
    });
  });
  return result;
}

struct GatedActivation : torch::autograd::Function<GatedActivation> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& input,
                            std::int64_t activation) {
    context->save_for_backward({input});
    context->saved_data["activation"] = activation;
    return run_forward(input, static_cast<Activation>(activation));
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    return {run_backward(gradients[0].contiguous(), context->get_saved_variables()[0],
                         static_cast<Activation>(context->saved_data["activation"].toInt())),
            at::Tensor()};
  }
};

}  // namespace

at::Tensor gated_activation(const at::Tensor& gate_and_up, Activation activation) {
  TORCH_CHECK(gate_and_up.dim() == 2 && gate_and_up.size(1) % 2 == 0,
              "gated_activation: input must be [rows, 2 * width], not ", gate_and_up.sizes());
  if (!use_fused(gate_and_up)) {
    return plain_gate(gate_and_up, activation);
  }
  const at::Tensor contiguous = gate_and_up.contiguous();
  return records({gate_and_up})
             ? GatedActivation::apply(contiguous, static_cast<std::int64_t>(activation))
             : run_forward(contiguous, activation);
}

}  // namespace thaw
