#include "core/kernels/add_norm.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/layer_norm.h>
#include <c10/util/Exception.h>
#include <torch/csrc/autograd/custom_function.h>

#include "core/kernels/add_norm_rows.h"
#include "core/kernels/column_sums.h"
#include "core/kernels/context_values.h"
#include "core/kernels/element_types.h"
#include "core/kernels/fused.h"
#include "core/kernels/gpu/operators.h"
#include "core/kernels/random/keyed_dropout.h"
#include "core/kernels/simd/simd_headers.h"

#define THAW_SIMD_SOURCE "core/kernels/add_norm.inc"
#include "core/kernels/simd/simd_each.inc"

namespace thaw {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;
using Draws = std::optional<DropoutDraws>;
using MaybeTensor = std::optional<at::Tensor>;

at::Tensor plain(const at::Tensor& input, const at::Tensor& bias, const at::Tensor& residual,
                 const at::Tensor& scale, const at::Tensor& shift, double epsilon,
                 const Draws& draws) {
  at::Tensor sum = input.to(scale.scalar_type());
  if (bias.defined()) {
    sum = sum + bias;
  }
  if (draws) {
    sum = keyed_dropout(sum, *draws);
  }
  if (residual.defined()) {
    sum = sum + residual;
  }
  return at::layer_norm(sum, {sum.size(-1)}, scale, shift, epsilon);
}

std::int64_t padded_width(std::int64_t width) { return (width + 127) / 128 * 128; }

using Operands = gpu::AddNormTensors;

void run_forward(const Operands& o, double epsilon, const Draws& draws) {
  if constexpr (gpu::kBuilt) {
    if (o.input.is_cuda()) return gpu::add_norm(o, epsilon, draws);
  }
  with_element_types(o.input.scalar_type(), [&]<typename E, typename T>() {
    AddNormRows<E, T> rows;
    rows.input = elements<E>(o.input);
    rows.bias = elements<T>(o.bias);
    rows.residual = elements<T>(o.residual);
    rows.scale = elements<T>(o.scale);
    rows.shift = elements<T>(o.shift);
    rows.output = mutable_elements<T>(o.output);
    rows.normalized = mutable_elements<T>(o.normalized);
    rows.rstd = mutable_elements<T>(o.rstd);
    rows.width = o.input.size(1);
    rows.epsilon = static_cast<T>(epsilon);
    rows.draws = draws ? &*draws : nullptr;
    rows.packed = draws && rows_are_tokens(*draws->rows, o.input.size(0));
    auto* const kernel = THAW_PICK_SIMD(add_norm_rows<E, T>);
    at::parallel_for(
        0, o.input.size(0), row_grain(rows.width), [&](std::int64_t begin, std::int64_t end) {
          std::vector<T> scratch(static_cast<std::size_t>(2 * padded_width(rows.width)));
          kernel(rows, begin, end, scratch.data());
        });
  });
}

using BackwardOperands = gpu::AddNormGradients;

void run_backward(const BackwardOperands& o, at::ScalarType input_type, const Draws& draws) {
  if constexpr (gpu::kBuilt) {
    if (o.gradient.is_cuda()) return gpu::add_norm_backward(o, input_type, draws);
  }
  with_element_types(input_type, [&]<typename E, typename T>() {
    AddNormRowsBackward<E, T> rows;
    rows.gradient = elements<T>(o.gradient);
    rows.normalized = elements<T>(o.normalized);
    rows.rstd = elements<T>(o.rstd);
    rows.scale = elements<T>(o.scale);
    rows.input_gradient = mutable_elements<E>(o.input_gradient);
    rows.residual_gradient = mutable_elements<T>(o.residual_gradient);
    rows.parameters = o.sums.defined();
    rows.width = o.gradient.size(1);
    rows.draws = draws ? &*draws : nullptr;
    rows.packed = draws && rows_are_tokens(*draws->rows, o.gradient.size(0));
    auto* const kernel = THAW_PICK_SIMD(add_norm_rows_backward<E, T>);
    sum_over_rows<T>(o.gradient.size(0), row_grain(rows.width),
                     rows.parameters ? 3 * rows.width : 0, mutable_elements<T>(o.sums),
                     [&](std::int64_t begin, std::int64_t end, T* sums) {
                       std::vector<T> factors(static_cast<std::size_t>(padded_width(rows.width)));
                       kernel(rows, begin, end, sums, factors.data());
                     });
  });
}

struct AddNorm : torch::autograd::Function<AddNorm> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& input,
                            const at::Tensor& scale, const at::Tensor& shift,
                            const MaybeTensor& bias, const MaybeTensor& residual, double epsilon,
                            const Draws& draws) {
    Operands o{.input = input,
               .bias = bias.value_or(at::Tensor()),
               .residual = residual.value_or(at::Tensor()),
               .scale = scale,
               .shift = shift,
               .output = at::empty(input.sizes(), scale.options()),
               .normalized = input,
               .rstd = at::empty({input.size(0)}, scale.options())};
    if (input.scalar_type() != scale.scalar_type()) {
      o.normalized = at::empty(input.sizes(), scale.options());
    }
    run_forward(o, epsilon, draws);
    context->save_for_backward({o.normalized, o.rstd, scale});
    context->saved_data["has bias"] = o.bias.defined();
    context->saved_data["has residual"] = o.residual.defined();
    context->saved_data["input type"] = static_cast<std::int64_t>(input.scalar_type());
    context->saved_data["draws"] = DrawsHolder::pack(draws);
    return o.output;
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const variable_list saved = context->get_saved_variables();
    const bool has_bias = context->saved_data["has bias"].toBool();
    const bool has_residual = context->saved_data["has residual"].toBool();
    const auto input_type = static_cast<at::ScalarType>(context->saved_data["input type"].toInt());
    const Draws draws = DrawsHolder::unpack(context->saved_data["draws"]);
    const bool input = context->needs_input_grad(0);
    const bool scale = context->needs_input_grad(1);
    const bool shift = context->needs_input_grad(2);
    const bool bias = has_bias && context->needs_input_grad(3);
    const bool residual = has_residual && context->needs_input_grad(has_bias ? 4 : 3);

    BackwardOperands o{.gradient = gradients[0].contiguous(),
                       .normalized = saved[0],
                       .rstd = saved[1],
                       .scale = saved[2],
                       .input_gradient = {},
                       .residual_gradient = {},
                       .sums = {}};
    // Without dropout, both gradients are the same numbers.
    const bool shared = input && residual && !draws && input_type == o.gradient.scalar_type();
    if (input) {
      o.input_gradient = at::empty(o.gradient.sizes(), o.gradient.options().dtype(input_type));
    }
    if (residual && !shared) {
      o.residual_gradient = at::empty_like(o.gradient);
    }
    if (bias || scale || shift) {
      o.sums = at::empty({3, o.gradient.size(1)}, o.gradient.options());
    }
    run_backward(o, input_type, draws);
    return {o.input_gradient,
            scale ? o.sums[1].clone() : at::Tensor(),
            shift ? o.sums[2].clone() : at::Tensor(),
            bias ? o.sums[0].clone() : at::Tensor(),
            shared ? o.input_gradient : o.residual_gradient,
            at::Tensor(),
            at::Tensor()};
  }
};

MaybeTensor maybe(const at::Tensor& tensor) {
  return tensor.defined() ? MaybeTensor(tensor) : std::nullopt;
}

void check(const at::Tensor& input, const at::Tensor& bias, const at::Tensor& residual,
           const at::Tensor& scale, const at::Tensor& shift) {
  TORCH_CHECK(input.dim() == 2, "add_norm: input must be [rows, width], not ", input.sizes());
  for (const at::Tensor& vector : {bias, scale, shift}) {
    TORCH_CHECK(!vector.defined() || vector.sizes() == at::IntArrayRef{input.size(1)},
                "add_norm: bias, scale and shift must be [width], not ", vector.sizes());
  }
  TORCH_CHECK(!residual.defined() || residual.sizes() == input.sizes(),
              "add_norm: the residual must be of the input's shape, ", input.sizes(), ", not ",
              residual.sizes());
  TORCH_CHECK(scale.scalar_type() == compute_type(input.scalar_type()), "add_norm: scale is ",
              scale.scalar_type(), " for an input of ", input.scalar_type());
}

}  // namespace

at::Tensor add_norm(at::Tensor input, const at::Tensor& bias, const at::Tensor& residual,
                    const at::Tensor& scale, const at::Tensor& shift, double epsilon,
                    const Draws& draws) {
  check(input, bias, residual, scale, shift);
  if (!use_fused(input)) {
    return plain(input, bias, residual, scale, shift, epsilon, draws);
  }
  const at::ScalarType type = input.scalar_type();
  input = input.contiguous();
  const at::Tensor fitting_bias = in_compute_type(bias, type);
  const at::Tensor fitting_residual = in_compute_type(residual, type);
  if (records({input, bias, residual, scale, shift})) {
    return AddNorm::apply(input, scale, shift, maybe(fitting_bias), maybe(fitting_residual),
                          epsilon, draws);
  }
  const at::Tensor output =
      type == scale.scalar_type() ? input : at::empty(input.sizes(), scale.options());
  run_forward({.input = input,
               .bias = fitting_bias,
               .residual = fitting_residual,
               .scale = scale,
               .shift = shift,
               .output = output,
               .normalized = {},
               .rstd = {}},
              epsilon, draws);
  return output;
}

}  // namespace thaw
