#include "core/kernels/decoder/rms_norm.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/rsqrt.h>
#include <ATen/ops/zeros.h>
#include <c10/util/Exception.h>
#include <torch/csrc/autograd/custom_function.h>

#include <optional>

#include "core/kernels/column_sums.h"
#include "core/kernels/decoder/rms_norm_rows.h"
#include "core/kernels/element_types.h"
#include "core/kernels/fused.h"
#include "core/kernels/gpu/operators.h"
#include "core/kernels/simd/simd_headers.h"

#define THAW_SIMD_SOURCE "core/kernels/decoder/rms_norm.inc"
#include "core/kernels/simd/simd_each.inc"

namespace thaw {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;
using MaybeTensor = std::optional<at::Tensor>;
using Pair = std::pair<at::Tensor, at::Tensor>;

Pair plain_norm(const at::Tensor& input, const at::Tensor& residual, const at::Tensor& weight,
                double epsilon, at::ScalarType type) {
  const at::ScalarType compute = compute_type(type);
  const at::Tensor sum =
      residual.defined() ? input.to(compute) + residual.to(compute) : input.to(compute);
  const at::Tensor rstd = at::rsqrt((sum * sum).mean(-1, /*keepdim=*/true) + epsilon);
  return {sum, (sum * rstd * weight.to(compute)).to(type)};
}

/// Calls `body.operator()<In, Out, T>()` for an input and a norm of these types.
template <typename Body>
void with_norm_types(at::ScalarType in, at::ScalarType out, const Body& body) {
  with_element_types(in, [&]<typename In, typename T>() {
    with_element_types(out, [&]<typename Out, typename Same>() {
      if constexpr (std::is_same_v<T, Same>) {
        body.template operator()<In, Out, T>();
      } else {
        TORCH_CHECK(false, "add_rms_norm: ", out, " of an input in ", in);
      }
    });
  });
}

struct Operands {
  at::Tensor input, residual, weight;
  at::Tensor sum;  ///< undefined without a residual: the input itself
  at::Tensor normed;
  at::Tensor rstd;  ///< undefined if backward will not come
};

void run_forward(const Operands& o, double epsilon) {
  if constexpr (gpu::kBuilt) {
    if (o.normed.is_cuda()) {
      const bool added = o.residual.defined();
      return gpu::rms_norm({.input = added ? o.input : at::Tensor(),
                            .residual = added ? o.residual : o.input,
                            .weight = o.weight,
                            .sum = o.sum,
                            .normed = o.normed,
                            .rstd = o.rstd},
                           epsilon);
    }
  }
  with_norm_types(
      o.input.scalar_type(), o.normed.scalar_type(), [&]<typename In, typename Out, typename T>() {
        RmsNormRows<In, Out, T> rows;
        rows.input = elements<In>(o.input);
        rows.residual = elements<T>(o.residual);
        rows.weight = elements<T>(o.weight);
        rows.sum = mutable_elements<T>(o.sum);
        rows.normed = mutable_elements<Out>(o.normed);
        rows.rstd = mutable_elements<T>(o.rstd);
        rows.width = o.input.size(1);
        rows.epsilon = static_cast<T>(epsilon);
        auto* const kernel = THAW_PICK_SIMD(rms_norm_rows<In, Out, T>);
        at::parallel_for(0, o.input.size(0), row_grain(rows.width),
                         [&](std::int64_t begin, std::int64_t end) { kernel(rows, begin, end); });
      });
}

struct BackwardOperands {
  at::Tensor gradient, sum_gradient;  ///< the second undefined: none
  at::Tensor sum, rstd, weight;
  at::Tensor input_gradient, residual_gradient, weight_gradient;  ///< undefined: not wanted
};

void run_backward(const BackwardOperands& o, at::ScalarType input_type) {
  if constexpr (gpu::kBuilt) {
    if (o.gradient.is_cuda()) {
      // An input that is the sum itself has its type, not that of the norm.
      const bool as_norm = input_type == o.gradient.scalar_type();
      return gpu::rms_norm_backward(
          {.gradient = o.gradient,
           .sum_gradient = o.sum_gradient,
           .sum = o.sum,
           .rstd = o.rstd,
           .weight = o.weight,
           .input_gradient = as_norm ? o.input_gradient : at::Tensor(),
           .residual_gradient = as_norm ? o.residual_gradient : o.input_gradient,
           .weight_gradient = o.weight_gradient});
    }
  }
  with_norm_types(
      input_type, o.gradient.scalar_type(), [&]<typename In, typename Out, typename T>() {
        RmsNormRowsBackward<In, Out, T> rows;
        rows.gradient = elements<Out>(o.gradient);
        rows.sum_gradient = elements<T>(o.sum_gradient);
        rows.sum = elements<T>(o.sum);
        rows.rstd = elements<T>(o.rstd);
        rows.weight = elements<T>(o.weight);
        rows.input_gradient = mutable_elements<In>(o.input_gradient);
        rows.residual_gradient = mutable_elements<T>(o.residual_gradient);
        rows.parameters = o.weight_gradient.defined();
        rows.width = o.gradient.size(1);
        auto* const kernel = THAW_PICK_SIMD(rms_norm_rows_backward<In, Out, T>);
        sum_over_rows<T>(
            o.gradient.size(0), row_grain(rows.width), rows.parameters ? rows.width : 0,
            mutable_elements<T>(o.weight_gradient),
            [&](std::int64_t begin, std::int64_t end, T* sums) { kernel(rows, begin, end, sums); });
      });
}

/// Gives {sum, normed} with a residual, {normed} without.
struct AddRmsNorm : torch::autograd::Function<AddRmsNorm> {
  static variable_list forward(AutogradContext* context, const at::Tensor& input,
                               const at::Tensor& weight, const MaybeTensor& residual,
                               double epsilon, at::ScalarType type) {
    const bool added = residual.has_value();
    const Operands o{.input = input,
                     .residual = residual.value_or(at::Tensor()),
                     .weight = weight,
                     .sum = added ? at::empty(input.sizes(), weight.options()) : at::Tensor(),
                     .normed = at::empty(input.sizes(), input.options().dtype(type)),
                     .rstd = at::empty({input.size(0)}, weight.options())};
    run_forward(o, epsilon);
    context->set_materialize_grads(false);
    context->save_for_backward({added ? o.sum : input, o.rstd, weight});
    context->saved_data["input type"] = static_cast<std::int64_t>(input.scalar_type());
    context->saved_data["type"] = static_cast<std::int64_t>(type);
    context->saved_data["added"] = added;
    return added ? variable_list{o.sum, o.normed} : variable_list{o.normed};
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const variable_list saved = context->get_saved_variables();
    const auto input_type = static_cast<at::ScalarType>(context->saved_data["input type"].toInt());
    const auto type = static_cast<at::ScalarType>(context->saved_data["type"].toInt());
    const bool added = context->saved_data["added"].toBool();
    const at::Tensor& of_norm = gradients.back();
    BackwardOperands o{
        .gradient = of_norm.defined() ? of_norm.contiguous()
                                      : at::zeros(saved[0].sizes(), saved[0].options().dtype(type)),
        .sum_gradient = added && gradients[0].defined() ? gradients[0].contiguous() : at::Tensor(),
        .sum = saved[0],
        .rstd = saved[1],
        .weight = saved[2],
        .input_gradient = {},
        .residual_gradient = {},
        .weight_gradient = {}};
    const bool input = context->needs_input_grad(0), weight = context->needs_input_grad(1);
    const bool residual = added && context->needs_input_grad(2);
    // Both gradients are the same numbers.
    const bool shared = input && residual && input_type == saved[0].scalar_type();
    if (input) o.input_gradient = at::empty(saved[0].sizes(), saved[0].options().dtype(input_type));
    if (residual && !shared) o.residual_gradient = at::empty(saved[0].sizes(), saved[0].options());
    if (weight) o.weight_gradient = at::empty(saved[2].sizes(), saved[2].options());
    run_backward(o, input_type);
    return {o.input_gradient, o.weight_gradient, shared ? o.input_gradient : o.residual_gradient,
            at::Tensor(), at::Tensor()};
  }
};

Pair fused_norm(const at::Tensor& input, const at::Tensor& residual, const at::Tensor& weight,
                double epsilon, at::ScalarType type) {
  const bool added = residual.defined();
  if (records({input, residual, weight})) {
    const variable_list found = AddRmsNorm::apply(
        input, weight, added ? MaybeTensor(residual) : std::nullopt, epsilon, type);
    return {added ? found[0] : input, found.back()};
  }
  const Operands o{.input = input,
                   .residual = residual,
                   .weight = weight,
                   .sum = added ? at::empty(input.sizes(), weight.options()) : at::Tensor(),
                   .normed = at::empty(input.sizes(), input.options().dtype(type)),
                   .rstd = {}};
  run_forward(o, epsilon);
  return {added ? o.sum : input, o.normed};
}

void check(const at::Tensor& input, const at::Tensor& residual, const at::Tensor& weight) {
  TORCH_CHECK(input.dim() == 2, "add_rms_norm: input must be [rows, width], not ", input.sizes());
  TORCH_CHECK(!residual.defined() || residual.sizes() == input.sizes(),
              "add_rms_norm: the residual must be of the input's shape, ", input.sizes(), ", not ",
              residual.sizes());
  TORCH_CHECK(weight.sizes() == at::IntArrayRef{input.size(1)},
              "add_rms_norm: weight must be [width], not ", weight.sizes());
}

}  // namespace

Pair add_rms_norm(const at::Tensor& input, const at::Tensor& residual, const at::Tensor& weight,
                  double epsilon, at::ScalarType type) {
  check(input, residual, weight);
  const auto serves = [](at::ScalarType each) {
    return each == at::kFloat || each == at::kDouble || each == at::kBFloat16;
  };
  // On a GPU, an input beside a residual is of the norm's type.
  const bool has_kernel = input.is_cpu() || !residual.defined() || input.scalar_type() == type;
  if (!has_kernel || !use_fused(input) || !serves(type) ||
      compute_type(type) != compute_type(input.scalar_type())) {
    return plain_norm(input, residual, weight, epsilon, type);
  }
  // Without a residual, the sum is the input in the type of the computation.
  return fused_norm(residual.defined() ? input.contiguous() : in_compute_type(input, type),
                    in_compute_type(residual, type), in_compute_type(weight, type), epsilon, type);
}

}  // namespace thaw
