#include "core/kernels/decoder/logit_chunk.h"

#include <ATen/Parallel.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/full.h>
#include <ATen/ops/index.h>
#include <ATen/ops/index_put.h>
#include <ATen/ops/maximum.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/where.h>
#include <ATen/ops/zeros.h>
#include <c10/util/Exception.h>

#include <algorithm>
#include <limits>
#include <span>
#include <utility>

#include "core/kernels/decoder/logit_rows.h"
#include "core/kernels/element_types.h"
#include "core/kernels/flop_counter.h"
#include "core/kernels/fused.h"
#include "core/kernels/matrix_product.h"
#include "core/kernels/simd/simd_headers.h"

#define THAW_SIMD_SOURCE "core/kernels/decoder/logit_rows.inc"
#include "core/kernels/simd/simd_each.inc"

namespace thaw {
namespace {

/// Words of a block on the host, where its logits, its part of the weight and of the weight's
/// gradient shall stay in the last cache between the products.
constexpr std::int64_t kBlockWords = 4096;

/// Rows with padding: an odd number of vectors, so that columns do not all fall into few sets of a
/// cache.
std::int64_t lanes_for(std::int64_t rows) { return ((rows + 15) / 16 | 1) * 16; }

at::Tensor as_tensor(const std::vector<std::int64_t>& values) {
  at::Tensor result = at::empty({static_cast<std::int64_t>(values.size())}, at::kLong);
  std::ranges::copy(values, result.mutable_data_ptr<std::int64_t>());
  return result;
}

/// Threads share the lanes out, two vectors (a cache line and more) at least each.
template <typename Body>
void for_lanes(std::int64_t lanes, const Body& body) {
  at::parallel_for(0, (lanes + 31) / 32, 1, [&](std::int64_t begin, std::int64_t end) {
    body(begin * 32, std::min(end * 32, lanes));
  });
}

}  // namespace

LogitChunk::LogitChunk(const at::Tensor& inputs, const at::Tensor& weight,
                       const at::Tensor& targets)
    : weight_(weight),
      compute_(compute_type(inputs.scalar_type())),
      kernels_(weight.is_cpu() && use_fused(weight)),
      rows_(inputs.size(0)) {
  inputs_ = at::zeros({lanes_for(rows_), inputs.size(1)}, inputs.options());
  inputs_.narrow(0, 0, rows_).copy_(inputs);
  if (prefers_onednn(weight, inputs_)) input_columns_ = transposed_copy(inputs_);
  divide(targets);
}

/// Divides the vocabulary into blocks; a GPU takes it whole, and is asked for no target.
void LogitChunk::divide(const at::Tensor& targets) {
  const std::int64_t vocabulary = weight_.size(0);
  if (!weight_.is_cpu()) {
    blocks_.push_back({.first = 0,
                       .words = vocabulary,
                       .target_words = targets,
                       .target_rows = at::arange(rows_, targets.options()),
                       .logits = {}});
    return;
  }
  const std::span<const std::int64_t> all(targets.const_data_ptr<std::int64_t>(),
                                          static_cast<std::size_t>(rows_));
  std::vector<std::vector<std::int64_t>> of_words((vocabulary + kBlockWords - 1) / kBlockWords);
  auto of_rows = of_words;
  for (std::size_t row = 0; row < all.size(); ++row) {
    TORCH_CHECK(all[row] >= 0 && all[row] < vocabulary, "next_token_loss: token ", all[row],
                " for a vocabulary of ", vocabulary);
    const auto block = static_cast<std::size_t>(all[row] / kBlockWords);
    of_words[block].push_back(all[row] % kBlockWords);
    of_rows[block].push_back(static_cast<std::int64_t>(row));
  }
  for (std::size_t block = 0; block < of_words.size(); ++block) {
    const std::int64_t first = static_cast<std::int64_t>(block) * kBlockWords;
    blocks_.push_back({.first = first,
                       .words = std::min(kBlockWords, vocabulary - first),
                       .target_words = as_tensor(of_words[block]),
                       .target_rows = as_tensor(of_rows[block]),
                       .logits = {}});
  }
}

at::Tensor LogitChunk::part_of_weight(const Block& block) const {
  return weight_.narrow(0, block.first, block.words);
}

at::Tensor LogitChunk::logits_of(const Block& block) const {
  return input_columns_.defined() ? onednn_product(part_of_weight(block), input_columns_)
                                  : at::mm(part_of_weight(block), inputs_.t());
}

at::Tensor LogitChunk::padded(const at::Tensor& of_rows) const {
  at::Tensor result = at::zeros({inputs_.size(0)}, of_rows.options().dtype(compute_));
  result.narrow(0, 0, rows_).copy_(of_rows);
  return result;
}

double LogitChunk::operations() const {
  return 2 * static_cast<double>(rows_) * static_cast<double>(weight_.numel());
}

/// Adds a block to what is known of the rows.
void LogitChunk::fold(const at::Tensor& logits, const Block& block, Running& running) const {
  if (kernels_) {
    return with_element_types(logits.scalar_type(), [&]<typename E, typename T>() {
      LogitRows<E, T> rows;
      rows.logits = mutable_elements<E>(logits);
      rows.words = block.words;
      rows.rows = logits.size(1);
      rows.first_word = block.first;
      rows.highest = mutable_elements<T>(running.highest);
      rows.total = mutable_elements<T>(running.total);
      rows.best = mutable_elements<T>(running.best);
      auto* const kernel = THAW_PICK_SIMD(fold_logits<E, T>);
      for_lanes(rows.rows, [&](std::int64_t begin, std::int64_t end) { kernel(rows, begin, end); });
    });
  }
  const at::Tensor exact = logits.to(compute_);
  const at::Tensor best = exact.argmax(0);
  const at::Tensor highest = exact.gather(0, best.unsqueeze(0)).squeeze(0);
  const at::Tensor above = highest.gt(running.highest);
  const at::Tensor top = at::where(above, highest, running.highest);
  running.total = running.total * (running.highest - top).exp() + (exact - top).exp().sum(0);
  running.best = at::where(above, best.add(block.first).to(compute_), running.best);
  running.highest = top;
}

RowLosses LogitChunk::losses(bool keep) {
  const FlopsSaidApart counted_here;  // without the padding
  report_flops(FlopKind::kForward, operations());
  const at::TensorOptions options = inputs_.options().dtype(compute_);
  const at::Tensor none = at::zeros({inputs_.size(0)}, options);
  Running running{.highest = none - std::numeric_limits<double>::infinity(),
                  .total = none.clone(),
                  .best = none.clone()};
  const at::Tensor target_logits = none.clone(), targets = none.clone();
  for (Block& block : blocks_) {
    const at::Tensor logits = logits_of(block);
    fold(logits, block, running);
    if (block.target_rows.size(0) > 0) {
      target_logits.index_copy_(
          0, block.target_rows,
          at::index(logits, {block.target_words, block.target_rows}).to(compute_));
      targets.index_copy_(0, block.target_rows, block.target_words.add(block.first).to(compute_));
    }
    if (keep) block.logits = logits;
  }
  const at::Tensor spread = running.total.log();
  const auto of_rows = [&](const at::Tensor& padded) { return padded.narrow(0, 0, rows_); };
  return {.losses = of_rows(spread + (running.highest - target_logits)),
          .log_sums = of_rows(spread + running.highest),
          .right = of_rows(running.best.eq(targets).to(compute_))};
}

/// exp(logit - log sum) * factor, in the place of the logits where that can be.
at::Tensor LogitChunk::softmax_of(const at::Tensor& logits, const Block& block,
                                  const at::Tensor& log_sums, const at::Tensor& factors) const {
  if (!kernels_) {
    return ((logits.to(compute_) - log_sums).exp_() * factors).to(logits.scalar_type());
  }
  with_element_types(logits.scalar_type(), [&]<typename E, typename T>() {
    LogitRows<E, T> rows;
    rows.logits = mutable_elements<E>(logits);
    rows.words = block.words;
    rows.rows = logits.size(1);
    rows.log_sums = elements<T>(log_sums);
    rows.factors = elements<T>(factors);
    auto* const kernel = THAW_PICK_SIMD(logit_gradients<E, T>);
    for_lanes(rows.rows, [&](std::int64_t begin, std::int64_t end) { kernel(rows, begin, end); });
  });
  return logits;
}

/// What the gradient of a block's logits, [words, lanes], adds to those of inputs and weight.
void LogitChunk::add_products(const at::Tensor& of_logits, const Block& block,
                              const at::Tensor& of_inputs, const Wanted& wanted) const {
  if (of_inputs.defined()) {
    of_inputs.add_(input_columns_.defined()
                       ? onednn_product(transposed_copy(of_logits), part_of_weight(block))
                       : at::mm(of_logits.t(), part_of_weight(block)));
  }
  if (!wanted.weight.defined()) return;
  at::Tensor part = wanted.weight.narrow(0, block.first, block.words);
  if (!input_columns_.defined() && part.scalar_type() == of_logits.scalar_type()) {
    if (wanted.add) {
      part.addmm_(of_logits, inputs_);
    } else {
      at::mm_out(part, of_logits, inputs_);
    }
    return;
  }
  const at::Tensor product =
      input_columns_.defined() ? onednn_product(of_logits, inputs_) : at::mm(of_logits, inputs_);
  wanted.add ? part.add_(product) : part.copy_(product);
}

void LogitChunk::gradients(const RowLosses& rows, const at::Tensor& factors, const Wanted& wanted) {
  const FlopsSaidApart counted_here;
  if (wanted.inputs.defined()) report_flops(FlopKind::kInputGradient, operations());
  if (wanted.weight.defined()) report_flops(FlopKind::kWeightGradient, operations());
  if (!blocks_[0].logits.defined()) report_flops(FlopKind::kWeightGradient, operations());
  const at::Tensor log_sums = padded(rows.log_sums), all_factors = padded(factors);
  // A target's logit has p - 1, and loses nothing where p is almost 1.
  const at::Tensor of_targets = padded(rows.losses.neg().expm1() * factors);
  const at::Tensor of_inputs =
      wanted.inputs.defined() ? at::zeros(inputs_.sizes(), wanted.inputs.options()) : at::Tensor();
  for (Block& block : blocks_) {
    const at::Tensor logits =
        block.logits.defined() ? std::exchange(block.logits, {}) : logits_of(block);
    at::Tensor of_logits = softmax_of(logits, block, log_sums, all_factors);
    if (block.target_rows.size(0) > 0) {
      at::index_put_(of_logits, {block.target_words, block.target_rows},
                     of_targets.index_select(0, block.target_rows).to(of_logits.scalar_type()));
    }
    add_products(of_logits, block, of_inputs, wanted);
  }
  if (of_inputs.defined()) wanted.inputs.copy_(of_inputs.narrow(0, 0, rows_));
}

}  // namespace thaw
