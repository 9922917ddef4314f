#include "core/models/decoder/decoder_layers.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/softmax.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

namespace thaw {

namespace nn {

Linear::Linear(std::int64_t in, std::int64_t out, bool with_bias)
    : weight(register_parameter("weight", at::empty({out, in}))) {
  if (with_bias) bias = register_parameter("bias", at::empty({out}));
}

at::Tensor Linear::forward(const at::Tensor& input, c10::ScalarType compute) {
  return add_bias(project(input, weight, prepared, compute), bias);
}

WordTable::WordTable(std::int64_t rows, std::int64_t width)
    : weight(register_parameter("weight", at::empty({rows, width}))) {}

RmsNorm::RmsNorm(std::int64_t width) : weight(register_parameter("weight", at::empty({width}))) {}

at::Tensor add_bias(at::Tensor rows, const at::Tensor& bias) {
  return bias.defined() ? rows.add_(bias.to(rows.scalar_type())) : rows;
}

namespace {

/// At most so many queries at a time, so that what each sees of the cache does not stand whole.
constexpr std::int64_t kQueriesAtOnce = 128;

/// Of `queries` [key heads, group, t, size], the last of which is at place `last` of the cache's
/// `keys` and `values` [key heads, 1, length, size].
at::Tensor attend(const at::Tensor& queries, const at::Tensor& keys, const at::Tensor& values,
                  const AttentionShape& shape, std::int64_t last) {
  const double scale =
      shape.scale != 0 ? shape.scale : 1 / std::sqrt(static_cast<double>(shape.size));
  at::Tensor scores = at::matmul(queries, keys.transpose(2, 3)) * scale;
  const at::Tensor places = at::arange(keys.size(2), keys.options().dtype(at::kLong));
  const at::Tensor own =
      at::arange(last + 1 - queries.size(2), last + 1, places.options()).unsqueeze(1);
  at::Tensor hidden = places > own;
  if (shape.window > 0) hidden = hidden.logical_or(places <= own - shape.window);
  scores = scores.masked_fill(hidden, -std::numeric_limits<double>::infinity());
  const at::ScalarType wide = scores.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
  return at::matmul(at::softmax(scores, -1, wide).to(scores.scalar_type()), values);
}

}  // namespace

at::Tensor cached_attention(const at::Tensor& projected, const AttentionShape& shape,
                            BlockCache& cache) {
  const std::int64_t count = projected.size(0);
  const at::Tensor heads = projected.view({count, -1, shape.size});
  const auto join = [](at::Tensor& kept, const at::Tensor& fresh) {
    kept = kept.defined() ? at::cat({kept, fresh}) : fresh.contiguous();
  };
  join(cache.keys, heads.narrow(1, shape.heads, shape.key_heads));
  join(cache.values, heads.narrow(1, shape.heads + shape.key_heads, shape.key_heads));
  const at::Tensor keys = cache.keys.transpose(0, 1).unsqueeze(1);
  const at::Tensor values = cache.values.transpose(0, 1).unsqueeze(1);
  const at::Tensor queries = heads.narrow(1, 0, shape.heads)
                                 .transpose(0, 1)
                                 .reshape({shape.key_heads, shape.group(), count, shape.size});
  const std::int64_t before = cache.keys.size(0) - count;
  std::vector<at::Tensor> parts;
  for (std::int64_t first = 0; first < count; first += kQueriesAtOnce) {
    const std::int64_t last = std::min(first + kQueriesAtOnce, count);
    const std::int64_t seen = before + last;
    parts.push_back(attend(queries.narrow(2, first, last - first), keys.narrow(2, 0, seen),
                           values.narrow(2, 0, seen), shape, seen - 1));
  }
  return at::cat(parts, 2)
      .view({shape.heads, count, shape.size})
      .transpose(0, 1)
      .reshape({count, shape.heads * shape.size});
}

}  // namespace nn
}  // namespace thaw
