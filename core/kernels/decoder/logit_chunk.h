#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

namespace thaw {

/// What is known of rows once their logits have been seen: [rows] each, in float32 (float64).
struct RowLosses {
  at::Tensor losses;    ///< -log of the target's probability
  at::Tensor log_sums;  ///< log of the sum of exp(logit)
  at::Tensor right;     ///< 1 where the target is the most likely word, else 0
};

/// The logits of a chunk of rows, by blocks of the vocabulary, and the gradients that come of them
/// (Note [Loss by chunks]). Without autograd. For one `losses`, one `gradients`, or both in this
/// order. Not thread-safe.
class LogitChunk {
 public:
  /// `inputs` [rows, width] and `weight` [V, width], contiguous and in the type of the product;
  /// `targets` int64 [rows]: a word for each, where the weight lies. Only the host reads them.
  LogitChunk(const at::Tensor& inputs, const at::Tensor& weight, const at::Tensor& targets);

  /// Computes the logits, and keeps them for `gradients` if `keep`.
  RowLosses losses(bool keep);

  struct Wanted {
    at::Tensor inputs;  ///< [rows, width]; undefined: not wanted
    at::Tensor weight;  ///< [V, width]; undefined: not wanted
    bool add = false;   ///< to what is in `weight`
  };
  /// Gradients of the rows' losses times `factors` [rows], into the tensors of `wanted`, which are
  /// of the rows' type. Logits that were not kept are computed again.
  void gradients(const RowLosses& rows, const at::Tensor& factors, const Wanted& wanted);

 private:
  struct Block {
    std::int64_t first = 0, words = 0;
    at::Tensor target_words, target_rows;  ///< int64: which of its logits are some row's target
    at::Tensor logits;                     ///< [words, lanes]; undefined: not kept
  };
  /// Of all rows, padded.
  struct Running {
    at::Tensor highest, total, best;
  };
  void divide(const at::Tensor& targets);
  at::Tensor part_of_weight(const Block& block) const;
  at::Tensor logits_of(const Block& block) const;
  void fold(const at::Tensor& logits, const Block& block, Running& running) const;
  at::Tensor softmax_of(const at::Tensor& logits, const Block& block, const at::Tensor& log_sums,
                        const at::Tensor& factors) const;
  void add_products(const at::Tensor& of_logits, const Block& block, const at::Tensor& of_inputs,
                    const Wanted& wanted) const;
  at::Tensor padded(const at::Tensor& of_rows) const;
  double operations() const;  ///< of a product, without the padding

  at::Tensor weight_, inputs_;  ///< [V, width], [lanes, width]
  at::Tensor input_columns_;  ///< [width, lanes], where products want that (Note [Matrix products])
  at::ScalarType compute_;
  bool kernels_;       ///< those of the host
  std::int64_t rows_;  ///< without padding
  std::vector<Block> blocks_;
};

}  // namespace thaw
