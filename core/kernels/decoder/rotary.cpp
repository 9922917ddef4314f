#include "core/kernels/decoder/rotary.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/rsqrt.h>
#include <c10/util/Exception.h>
#include <torch/csrc/autograd/custom_function.h>

#include <optional>
#include <utility>
#include <vector>

#include "core/kernels/column_sums.h"
#include "core/kernels/context_values.h"
#include "core/kernels/decoder/rotary_rows.h"
#include "core/kernels/element_types.h"
#include "core/kernels/fused.h"
#include "core/kernels/gpu/operators.h"
#include "core/kernels/rows/device_rows.h"
#include "core/kernels/simd/simd_headers.h"

#define THAW_SIMD_SOURCE "core/kernels/decoder/rotary.inc"
#include "core/kernels/simd/simd_each.inc"

namespace thaw {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;
using MaybeTensor = std::optional<at::Tensor>;
using RowsPointer = std::shared_ptr<const SampleRows>;

// ------------------------------------------------------------------ plain operators, any device

/// Queries or keys [T, heads, size] in the type of the computation, with their norm, rotated.
at::Tensor rotated(const at::Tensor& heads, const at::Tensor& weight, double epsilon,
                   const at::Tensor& cosines, const at::Tensor& sines) {
  at::Tensor x = heads;
  if (weight.defined()) {
    x = x * at::rsqrt((x * x).mean(-1, /*keepdim=*/true) + epsilon) * weight;
  }
  const std::int64_t half = x.size(2) / 2;
  const at::Tensor first = x.narrow(2, 0, half), second = x.narrow(2, half, half);
  return at::cat({first * cosines - second * sines, second * cosines + first * sines}, 2);
}

at::Tensor plain_rotation(const at::Tensor& projected, const AttentionShape& shape,
                          const RotaryTable& table, const at::Tensor& q_weight,
                          const at::Tensor& k_weight, double epsilon, const SampleRows& rows) {
  const at::ScalarType compute = compute_type(projected.scalar_type());
  const at::Tensor places = on_device(rows, projected.device()).places;
  const at::Tensor cosines = table.cosines.to(compute).index_select(0, places).unsqueeze(1);
  const at::Tensor sines = table.sines.to(compute).index_select(0, places).unsqueeze(1);
  const at::Tensor heads = projected.view({projected.size(0), -1, shape.size}).to(compute);
  const at::Tensor queries =
      rotated(heads.narrow(1, 0, shape.heads), q_weight, epsilon, cosines, sines);
  const at::Tensor keys =
      rotated(heads.narrow(1, shape.heads, shape.key_heads), k_weight, epsilon, cosines, sines);
  const at::Tensor values = heads.narrow(1, shape.heads + shape.key_heads, shape.key_heads);
  return at::cat({queries, keys, values}, 1).view(projected.sizes()).to(projected.scalar_type());
}

// ---------------------------------------------------------------------------- fused, on the host

/// The place of each token in its sample.
std::vector<std::int32_t> places_of(const SampleRows& rows) {
  std::vector<std::int32_t> result;
  result.reserve(static_cast<std::size_t>(rows.offsets.back()));
  for (std::size_t n = 0; n + 1 < rows.offsets.size(); ++n) {
    for (std::int64_t t = 0; t < rows.offsets[n + 1] - rows.offsets[n]; ++t) {
      result.push_back(static_cast<std::int32_t>(t));
    }
  }
  return result;
}

/// Operands of both directions; the table and the weights in the type of the computation.
struct Operands {
  at::Tensor input;  ///< backward: undefined without norms
  at::Tensor output, gradient;
  RotaryTable table;
  at::Tensor weights[2];
  at::Tensor sums;  ///< [2, size], the gradients of the weights; undefined: nobody wants them
};

/// A GPU's kernel takes heads without norms.
bool run_on_gpu(const Operands& o, const AttentionShape& shape, const SampleRows& rows) {
  if constexpr (gpu::kBuilt) {
    if (!o.output.is_cuda()) return false;
    const bool back = o.gradient.defined();
    gpu::rotate_rows({.input = back ? o.gradient : o.input,
                      .output = o.output,
                      .cosines = o.table.cosines,
                      .sines = o.table.sines},
                     shape, back, rows);
    return true;
  }
  return false;
}

void run_rotation(const Operands& o, const AttentionShape& shape, double epsilon,
                  const SampleRows& rows) {
  if (run_on_gpu(o, shape, rows)) return;
  const std::vector<std::int32_t> places = places_of(rows);
  with_element_types(o.output.scalar_type(), [&]<typename E, typename T>() {
    RotaryRows<E, T> a;
    a.gradient = elements<E>(o.gradient);
    a.input = o.input.defined() ? elements<E>(o.input) : a.gradient;
    a.output = mutable_elements<E>(o.output);
    a.places = places.data();
    a.heads = shape.heads;
    a.key_heads = shape.key_heads;
    a.size = shape.size;
    a.cosines = elements<T>(o.table.cosines);
    a.sines = elements<T>(o.table.sines);
    a.weights[0] = elements<T>(o.weights[0]);
    a.weights[1] = elements<T>(o.weights[1]);
    a.epsilon = static_cast<T>(epsilon);
    const std::int64_t tokens = o.output.size(0), grain = row_grain(shape.columns());
    if (!o.gradient.defined()) {
      auto* const kernel = THAW_PICK_SIMD(rotate_rows<E, T>);
      at::parallel_for(0, tokens, grain,
                       [&](std::int64_t begin, std::int64_t end) { kernel(a, begin, end); });
      return;
    }
    auto* const kernel = THAW_PICK_SIMD(rotate_rows_back<E, T>);
    const at::Tensor sums =
        o.sums.defined() ? o.sums : at::empty({2, shape.size}, o.table.cosines.options());
    sum_over_rows<T>(tokens, grain, 2 * shape.size, mutable_elements<T>(sums),
                     [&](std::int64_t begin, std::int64_t end, T* partial) {
                       std::vector<T> scratch(static_cast<std::size_t>(shape.size));
                       kernel(a, begin, end, partial, scratch.data());
                     });
  });
}

MaybeTensor maybe(const at::Tensor& tensor) {
  return tensor.defined() ? MaybeTensor(tensor) : std::nullopt;
}

struct RotateHeads : torch::autograd::Function<RotateHeads> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& projected,
                            const MaybeTensor& q_weight, const MaybeTensor& k_weight,
                            const RotaryTable& table, const AttentionShape& shape, double epsilon,
                            const RowsPointer& rows) {
    const bool normed = q_weight.has_value();
    Operands o{.input = projected,
               // Without a norm backward needs no input: the result takes its memory.
               .output = normed ? at::empty_like(projected) : projected.detach(),
               .gradient = {},
               .table = table,
               .weights = {q_weight.value_or(at::Tensor()), k_weight.value_or(at::Tensor())},
               .sums = {}};
    run_rotation(o, shape, epsilon, *rows);
    context->save_for_backward({normed ? projected : at::Tensor(), o.weights[0], o.weights[1],
                                table.cosines, table.sines});
    context->saved_data["shape"] =
        std::vector<std::int64_t>{shape.heads, shape.key_heads, shape.size};
    context->saved_data["epsilon"] = epsilon;
    context->saved_data["rows"] = RowsHolder::pack(rows);
    return o.output;
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const variable_list saved = context->get_saved_variables();
    const std::vector<std::int64_t> shape = context->saved_data["shape"].toIntVector();
    const bool normed = saved[0].defined();
    Operands o{.input = saved[0],
               .output = at::empty_like(gradients[0], at::MemoryFormat::Contiguous),
               .gradient = gradients[0].contiguous(),
               .table = {saved[3], saved[4]},
               .weights = {saved[1], saved[2]},
               .sums = {}};
    if (normed && (context->needs_input_grad(1) || context->needs_input_grad(2))) {
      o.sums = at::empty({2, shape[2]}, saved[3].options());
    }
    run_rotation(o, {.heads = shape[0], .key_heads = shape[1], .size = shape[2]},
                 context->saved_data["epsilon"].toDouble(),
                 *RowsHolder::unpack(context->saved_data["rows"]));
    variable_list result(7);
    result[0] = o.output;
    for (std::size_t norm = 0; norm < 2; ++norm) {
      if (o.sums.defined() && context->needs_input_grad(norm + 1)) {
        result[norm + 1] = o.sums[static_cast<std::int64_t>(norm)].clone();
      }
    }
    return result;
  }
};

void check(const at::Tensor& projected, const AttentionShape& shape, const RotaryTable& table,
           const at::Tensor& q_weight, const at::Tensor& k_weight, const SampleRows& rows) {
  TORCH_CHECK(shape.heads > 0 && shape.key_heads > 0 && shape.size > 0 && shape.size % 2 == 0,
              "rotate_heads: ", shape.heads, " heads, ", shape.key_heads, " key heads of size ",
              shape.size);
  TORCH_CHECK(projected.dim() == 2 && projected.size(1) == shape.columns(),
              "rotate_heads: projections must be [T, ", shape.columns(), "], not ",
              projected.sizes());
  TORCH_CHECK(!rows.offsets.empty() && rows.offsets.back() == projected.size(0),
              "rotate_heads: offsets do not end at the last of ", projected.size(0), " tokens");
  TORCH_CHECK(table.cosines.dim() == 2 && table.cosines.size(1) == shape.size / 2 &&
                  table.sines.sizes() == table.cosines.sizes(),
              "rotate_heads: a table of ", table.cosines.sizes(), " and ", table.sines.sizes(),
              " for heads of size ", shape.size);
  TORCH_CHECK(q_weight.defined() == k_weight.defined(),
              "rotate_heads: a norm for queries and one for keys, or none");
  for (const at::Tensor& weight : {q_weight, k_weight}) {
    TORCH_CHECK(!weight.defined() || weight.sizes() == at::IntArrayRef{shape.size},
                "rotate_heads: a norm's weight is ", weight.sizes());
  }
  for (std::size_t n = 0; n + 1 < rows.offsets.size(); ++n) {
    TORCH_CHECK(rows.offsets[n + 1] - rows.offsets[n] <= table.cosines.size(0),
                "rotate_heads: a sample of ", rows.offsets[n + 1] - rows.offsets[n],
                " tokens for a table of ", table.cosines.size(0), " positions");
  }
}

}  // namespace

at::Tensor rotate_heads(at::Tensor projected, const AttentionShape& shape, const RotaryTable& table,
                        const at::Tensor& q_weight, const at::Tensor& k_weight, double epsilon,
                        RowsPointer rows) {
  check(projected, shape, table, q_weight, k_weight, *rows);
  const bool has_kernel = projected.is_cpu() || !q_weight.defined();
  if (!has_kernel || !use_fused(projected)) {
    return plain_rotation(projected, shape, table, q_weight, k_weight, epsilon, *rows);
  }
  const at::ScalarType type = projected.scalar_type();
  projected = projected.contiguous();
  const RotaryTable fitting{in_compute_type(table.cosines, type),
                            in_compute_type(table.sines, type)};
  const at::Tensor weights[2] = {in_compute_type(q_weight, type), in_compute_type(k_weight, type)};
  if (records({projected, q_weight, k_weight})) {
    return RotateHeads::apply(projected, maybe(weights[0]), maybe(weights[1]), fitting, shape,
                              epsilon, rows);
  }
  run_rotation({.input = projected,
                .output = projected,
                .gradient = {},
                .table = fitting,
                .weights = {weights[0], weights[1]},
                .sums = {}},
               shape, epsilon, *rows);
  return projected;
}

}  // namespace thaw
