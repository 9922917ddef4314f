#include "core/kernels/embed.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/embedding.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/zeros_like.h>
#include <c10/util/Exception.h>
#include <torch/csrc/autograd/custom_function.h>

#include <utility>
#include <vector>

#include "core/kernels/column_sums.h"
#include "core/kernels/context_values.h"
#include "core/kernels/element_types.h"
#include "core/kernels/fused.h"
#include "core/kernels/gpu/operators.h"
#include "core/kernels/rows/device_rows.h"

namespace thaw {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;
using RowsPointer = std::shared_ptr<const SampleRows>;

/// The place of each token within its sample.
std::vector<std::int64_t> places(const SampleRows& rows) {
  std::vector<std::int64_t> result;
  result.reserve(static_cast<std::size_t>(rows.offsets.back()));
  for (std::size_t n = 0; n + 1 < rows.offsets.size(); ++n) {
    for (std::int64_t t = 0; t < rows.offsets[n + 1] - rows.offsets[n]; ++t) {
      result.push_back(t);
    }
  }
  return result;
}

/// `token_types`: of no elements where all are 0.
at::Tensor run_forward(const at::Tensor& tokens, const at::Tensor& token_types,
                       const at::Tensor& words, const at::Tensor& positions,
                       const at::Tensor& types, const SampleRows& rows) {
  if constexpr (gpu::kBuilt) {
    if (words.is_cuda()) {
      return gpu::embed_rows(tokens, token_types, words, positions, types, rows);
    }
  }
  const std::int64_t width = words.size(1);
  at::Tensor output = at::empty({tokens.size(0), width}, words.options());
  const std::vector<std::int64_t> place = places(rows);
  const auto* ids = tokens.const_data_ptr<std::int64_t>();
  const bool typed = token_types.numel() > 0;
  const auto* type_ids = token_types.const_data_ptr<std::int64_t>();
  with_element_types(words.scalar_type(), [&]<typename E, typename T>() {
    using Element = TorchElement<E>;
    const auto* word_table = words.const_data_ptr<Element>();
    const auto* position_table = positions.const_data_ptr<Element>();
    const auto* type_table = types.const_data_ptr<Element>();
    auto* out = output.mutable_data_ptr<Element>();
    at::parallel_for(
        0, tokens.size(0), row_grain(width), [&](std::int64_t begin, std::int64_t end) {
          for (std::int64_t t = begin; t < end; ++t) {
            const Element* word = word_table + ids[t] * width;
            const Element* position = position_table + place[static_cast<std::size_t>(t)] * width;
            const Element* type = type_table + (typed ? type_ids[t] : 0) * width;
            for (std::int64_t i = 0; i < width; ++i) {
              out[t * width + i] = word[i] + position[i] + type[i];
            }
          }
        });
  });
  return output;
}

/// Adds row t of `gradient` to row `index[t]` of `table`, unless that is `left_out`. Threads share
/// the columns out, so no two write to one element and each element is summed in the order of the
/// tokens.
void add_rows(const at::Tensor& gradient, const std::int64_t* index, const at::Tensor& table,
              std::int64_t left_out = -1) {
  const std::int64_t width = gradient.size(1), tokens = gradient.size(0);
  with_element_types(gradient.scalar_type(), [&]<typename E, typename T>() {
    using Element = TorchElement<E>;
    const auto* from = gradient.const_data_ptr<Element>();
    auto* to = table.mutable_data_ptr<Element>();
    // Pieces of cache lines: 64 elements and more.
    at::parallel_for(0, (width + 63) / 64, 1, [&](std::int64_t begin, std::int64_t end) {
      const std::int64_t first = begin * 64, last = std::min(end * 64, width);
      for (std::int64_t t = 0; t < tokens; ++t) {
        if (index[t] == left_out) {
          continue;
        }
        const Element* row = from + t * width;
        Element* sum = to + index[t] * width;
        for (std::int64_t i = first; i < last; ++i) {
          sum[i] += row[i];
        }
      }
    });
  });
}

// The gradient of each table.

at::Tensor of_words(const at::Tensor& gradient, const at::Tensor& tokens, const at::Tensor& words,
                    const SampleRows& rows, std::int64_t padding) {
  if constexpr (gpu::kBuilt) {
    if (gradient.is_cuda()) return gpu::word_gradient(gradient, tokens, words, rows, padding);
  }
  at::Tensor result = at::zeros_like(words);
  add_rows(gradient, tokens.const_data_ptr<std::int64_t>(), result, padding);
  return result;
}

at::Tensor of_positions(const at::Tensor& gradient, const at::Tensor& positions,
                        const SampleRows& rows) {
  if constexpr (gpu::kBuilt) {
    if (gradient.is_cuda()) return gpu::position_gradient(gradient, positions, rows);
  }
  at::Tensor result = at::zeros_like(positions);
  add_rows(gradient, places(rows).data(), result);
  return result;
}

/// `token_types`: of no elements where all are 0.
at::Tensor of_types(const at::Tensor& gradient, const at::Tensor& token_types,
                    const at::Tensor& types) {
  if constexpr (gpu::kBuilt) {
    if (gradient.is_cuda()) return gpu::type_gradient(gradient, token_types, types);
  }
  at::Tensor result = at::zeros_like(types);
  if (token_types.numel() > 0) {
    add_rows(gradient, token_types.const_data_ptr<std::int64_t>(), result);
  } else {
    result[0].copy_(gradient.sum(0));
  }
  return result;
}

struct Embed : torch::autograd::Function<Embed> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& tokens,
                            const at::Tensor& words, const at::Tensor& positions,
                            const at::Tensor& types, const at::Tensor& token_types,
                            const RowsPointer& rows, std::int64_t padding) {
    context->save_for_backward({tokens, words, positions, types, token_types});
    context->saved_data["rows"] = RowsHolder::pack(rows);
    context->saved_data["padding"] = padding;
    return run_forward(tokens, token_types, words, positions, types, *rows);
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const variable_list saved = context->get_saved_variables();
    const at::Tensor gradient = gradients[0].contiguous();
    variable_list result(7);
    const RowsPointer rows = RowsHolder::unpack(context->saved_data["rows"]);
    if (context->needs_input_grad(1)) {
      result[1] =
          of_words(gradient, saved[0], saved[1], *rows, context->saved_data["padding"].toInt());
    }
    if (context->needs_input_grad(2)) {
      result[2] = of_positions(gradient, saved[2], *rows);
    }
    if (context->needs_input_grad(3)) {
      result[3] = of_types(gradient, saved[4], saved[3]);
    }
    return result;
  }
};

}  // namespace

at::Tensor embed(const at::Tensor& tokens, const at::Tensor& token_types, const at::Tensor& words,
                 const at::Tensor& positions, const at::Tensor& types, RowsPointer rows,
                 std::int64_t padding) {
  TORCH_CHECK(tokens.dim() == 1 && tokens.scalar_type() == at::kLong && !rows->offsets.empty() &&
                  rows->offsets.back() == tokens.size(0),
              "embed: tokens must be int64 [T], as the offsets say");
  TORCH_CHECK(!token_types.defined() || token_types.sizes() == tokens.sizes(),
              "embed: token types must be int64 [T], as tokens are");
  if (!use_fused(words)) {
    const at::Tensor& place = on_device(*rows, tokens.device()).places;
    return at::embedding(words, tokens, padding) + positions.index_select(0, place) +
           (token_types.defined() ? types.index_select(0, token_types) : types[0]);
  }
  return Embed::apply(tokens.contiguous(), words, positions, types,
                      token_types.defined() ? token_types.contiguous()
                                            : at::empty({0}, words.options().dtype(at::kLong)),
                      rows, padding);
}

}  // namespace thaw
