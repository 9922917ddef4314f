#include "core/kernels/add_norm.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/layer_norm.h>
#include <c10/util/Exception.h>
#include <torch/csrc/autograd/custom_function.h>

#include <utility>

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
    if (o.normalized.is_cuda()) return gpu::add_norm_backward(o, input_type, draws);
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

/// What backward needs to know besides tensors.
struct Saved {
  bool has_bias, has_residual;
  at::ScalarType input_type;
  Draws draws;

  void keep_in(AutogradContext& context) const {
    context.saved_data["has bias"] = has_bias;
    context.saved_data["has residual"] = has_residual;
    context.saved_data["input type"] = static_cast<std::int64_t>(input_type);
    context.saved_data["draws"] = DrawsHolder::pack(draws);
  }
  static Saved of(AutogradContext& context) {
    return {.has_bias = context.saved_data["has bias"].toBool(),
            .has_residual = context.saved_data["has residual"].toBool(),
            .input_type = static_cast<at::ScalarType>(context.saved_data["input type"].toInt()),
            .draws = DrawsHolder::unpack(context.saved_data["draws"])};
  }
};

at::Tensor contiguous_or_none(const variable_list& gradients, std::size_t i) {
  return i < gradients.size() && gradients[i].defined() ? gradients[i].contiguous() : at::Tensor();
}

struct AddNorm : torch::autograd::Function<AddNorm> {
  /// Returns the output, and with `rounds` its rounded form.
  static variable_list forward(AutogradContext* context, const at::Tensor& input,
                               const at::Tensor& scale, const at::Tensor& shift,
                               const MaybeTensor& bias, const MaybeTensor& residual, double epsilon,
                               const Draws& draws, bool rounds) {
    Operands o{.input = input,
               .bias = bias.value_or(at::Tensor()),
               .residual = residual.value_or(at::Tensor()),
               .scale = scale,
               .shift = shift,
               .output = at::empty(input.sizes(), scale.options()),
               .rounded = rounds ? at::empty_like(input) : at::Tensor(),
               .normalized = input,
               .rstd = at::empty({input.size(0)}, scale.options())};
    if (input.scalar_type() != scale.scalar_type()) {
      o.normalized = at::empty(input.sizes(), scale.options());
    }
    run_forward(o, epsilon, draws);
    context->save_for_backward({o.normalized, o.rstd, scale});
    Saved{o.bias.defined(), o.residual.defined(), input.scalar_type(), draws}.keep_in(*context);
    context->set_materialize_grads(false);
    return rounds ? variable_list{o.output, o.rounded} : variable_list{o.output};
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const variable_list tensors = context->get_saved_variables();
    const Saved saved = Saved::of(*context);
    const bool input = context->needs_input_grad(0);
    const bool scale = context->needs_input_grad(1);
    const bool shift = context->needs_input_grad(2);
    const bool bias = saved.has_bias && context->needs_input_grad(3);
    const bool residual = saved.has_residual && context->needs_input_grad(saved.has_bias ? 4 : 3);

    BackwardOperands o{.gradient = contiguous_or_none(gradients, 0),
                       .rounded_gradient = contiguous_or_none(gradients, 1),
                       .normalized = tensors[0],
                       .rstd = tensors[1],
                       .scale = tensors[2],
                       .input_gradient = {},
                       .residual_gradient = {},
                       .sums = {}};
    if (!o.gradient.defined() && !o.rounded_gradient.defined()) return variable_list(8);
    // Without dropout, both gradients are the same numbers.
    const bool shared =
        input && residual && !saved.draws && saved.input_type == o.normalized.scalar_type();
    if (input) {
      o.input_gradient =
          at::empty(o.normalized.sizes(), o.normalized.options().dtype(saved.input_type));
    }
    if (residual && !shared) {
      o.residual_gradient = at::empty_like(o.normalized);
    }
    if (bias || scale || shift) {
      o.sums = at::empty({3, o.normalized.size(1)}, o.normalized.options());
    }
    run_backward(o, saved.input_type, saved.draws);
    // Rows of one tensor, not copies: autograd takes each over as it is.
    const auto sum = [&](bool wanted, std::int64_t row) {
      return wanted ? o.sums.select(0, row) : at::Tensor();
    };
    return {o.input_gradient,
            sum(scale, 1),
            sum(shift, 2),
            sum(bias, 0),
            shared ? o.input_gradient : o.residual_gradient,
            at::Tensor(),
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

/// `rounds`: with the rounded form.
NormResult run(at::Tensor input, const at::Tensor& bias, const at::Tensor& residual,
               const at::Tensor& scale, const at::Tensor& shift, double epsilon, const Draws& draws,
               bool rounds) {
  const at::ScalarType type = input.scalar_type();
  input = input.contiguous();
  const at::Tensor fitting_bias = in_compute_type(bias, type);
  const at::Tensor fitting_residual = in_compute_type(residual, type);
  if (records({input, bias, residual, scale, shift})) {
    const variable_list results = AddNorm::apply(input, scale, shift, maybe(fitting_bias),
                                                 maybe(fitting_residual), epsilon, draws, rounds);
    return {.value = results[0], .rounded = rounds ? results[1] : at::Tensor()};
  }
  const Operands o{
      .input = input,
      .bias = fitting_bias,
      .residual = fitting_residual,
      .scale = scale,
      .shift = shift,
      .output = type == scale.scalar_type() ? input : at::empty(input.sizes(), scale.options()),
      .rounded = rounds ? at::empty_like(input) : at::Tensor(),
      .normalized = {},
      .rstd = {}};
  run_forward(o, epsilon, draws);
  return {.value = o.output, .rounded = o.rounded};
}

}  // namespace

at::Tensor add_norm(at::Tensor input, const at::Tensor& bias, const at::Tensor& residual,
                    const at::Tensor& scale, const at::Tensor& shift, double epsilon,
                    const Draws& draws) {
  check(input, bias, residual, scale, shift);
  return use_fused(input) ? run(std::move(input), bias, residual, scale, shift, epsilon, draws,
                                /*rounds=*/false)
                                .value
                          : plain(input, bias, residual, scale, shift, epsilon, draws);
}

NormResult add_norm_rounded(at::Tensor input, const at::Tensor& bias, const at::Tensor& residual,
                            const at::Tensor& scale, const at::Tensor& shift, double epsilon,
                            const Draws& draws) {
  if (input.is_cuda() && use_fused(input) && input.scalar_type() != scale.scalar_type()) {
    check(input, bias, residual, scale, shift);
    return run(std::move(input), bias, residual, scale, shift, epsilon, draws, /*rounds=*/true);
  }
  return {.value = add_norm(std::move(input), bias, residual, scale, shift, epsilon, draws),
          .rounded = {}};
}

}  // namespace thaw
