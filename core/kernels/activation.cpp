#include "core/kernels/activation.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/gelu.h>
#include <ATen/ops/relu.h>
#include <ATen/ops/silu.h>
#include <c10/util/Exception.h>
#include <torch/csrc/autograd/custom_function.h>

#include "core/kernels/column_sums.h"
#include "core/kernels/element_types.h"
#include "core/kernels/fused.h"
#include "core/kernels/gpu/operators.h"
#include "core/kernels/simd/simd_headers.h"

#define THAW_SIMD_SOURCE "core/kernels/activation.inc"
#include "core/kernels/simd/simd_each.inc"

namespace thaw {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

void run_forward(const at::Tensor& input, const at::Tensor& bias, const at::Tensor& output,
                 Activation activation) {
  if constexpr (gpu::kBuilt) {
    if (input.is_cuda()) return gpu::activate_rows(input, bias, output, activation);
  }
  with_element_types(input.scalar_type(), [&]<typename E, typename T>() {
    const E* in = elements<E>(input);
    const T* b = elements<T>(bias);
    E* out = mutable_elements<E>(output);
    const std::int64_t width = input.size(1);
    with_activation(activation, [&](auto which) {
      auto* const kernel = THAW_PICK_SIMD(activate_rows<decltype(which)::value, E, T>);
      at::parallel_for(0, input.size(0), row_grain(width),
                       [&](std::int64_t begin, std::int64_t end) {
                         kernel(in + begin * width, b, out + begin * width, end - begin, width);
                       });
    });
  });
}

/// `bias_gradient` may be undefined.
void run_backward(const at::Tensor& gradient, const at::Tensor& input, const at::Tensor& bias,
                  const at::Tensor& input_gradient, const at::Tensor& bias_gradient,
                  Activation activation) {
  if constexpr (gpu::kBuilt) {
    if (input.is_cuda()) {
      return gpu::activate_rows_backward(gradient, input, bias, input_gradient, bias_gradient,
                                         activation);
    }
  }
  with_element_types(input.scalar_type(), [&]<typename E, typename T>() {
    const E* dy = elements<E>(gradient);
    const E* in = elements<E>(input);
    const T* b = elements<T>(bias);
    E* dx = mutable_elements<E>(input_gradient);
    const std::int64_t width = input.size(1);
    const bool sums = bias_gradient.defined();
    T* totals = sums ? mutable_elements<T>(bias_gradient) : nullptr;
    with_activation(activation, [&](auto which) {
      auto* const kernel = THAW_PICK_SIMD(activate_rows_backward<decltype(which)::value, E, T>);
      sum_over_rows<T>(input.size(0), row_grain(width), sums ? width : 0, totals,
                       [&](std::int64_t begin, std::int64_t end, T* partial) {
                         const std::int64_t at = begin * width;
                         kernel(dy + at, in + at, b, dx + at, sums ? partial : nullptr, end - begin,
                                width);
                       });
    });
  });
}

struct BiasActivation : torch::autograd::Function<BiasActivation> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& input,
                            const at::Tensor& bias, std::int64_t activation) {
    at::Tensor output = at::empty_like(input);
    run_forward(input, bias, output, static_cast<Activation>(activation));
    context->save_for_backward({input, bias});
    context->saved_data["activation"] = activation;
    return output;
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const variable_list saved = context->get_saved_variables();
    const at::Tensor& input = saved[0];
    const at::Tensor& bias = saved[1];
    at::Tensor input_gradient = at::empty_like(input);
    at::Tensor bias_gradient = context->needs_input_grad(1) ? at::empty_like(bias) : at::Tensor();
    run_backward(gradients[0].contiguous(), input, bias, input_gradient, bias_gradient,
                 static_cast<Activation>(context->saved_data["activation"].toInt()));
    return {input_gradient, bias_gradient, at::Tensor()};
  }
};

}  // namespace

at::Tensor plain_activation(const at::Tensor& input, Activation activation) {
  switch (activation) {
    case Activation::kGelu:
      return at::gelu(input, "none");
    case Activation::kGeluTanh:
      return at::gelu(input, "tanh");
    case Activation::kSilu:
      return at::silu(input);
    default:
      return at::relu(input);
  }
}

at::Tensor bias_activation(at::Tensor input, const at::Tensor& bias, Activation activation) {
  TORCH_CHECK(input.dim() == 2 && bias.dim() == 1 && bias.size(0) == input.size(1),
              "bias_activation: input [rows, width] and bias [width], not ", input.sizes(), " and ",
              bias.sizes());
  if (!use_fused(input)) {
    return plain_activation((input + bias).to(input.scalar_type()), activation);
  }
  const at::Tensor fitting = in_compute_type(bias, input.scalar_type());
  if (!records({input, bias})) {
    input = input.contiguous();
    run_forward(input, fitting, input, activation);
    return input;
  }
  return BiasActivation::apply(input.contiguous(), fitting, static_cast<std::int64_t>(activation));
}

}  // namespace thaw
