#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

namespace thaw {

/// Some samples of one split, as a model takes them. On the host.
///
/// Text: `inputs` int64 [T], the tokens of all samples one after another, without padding;
/// `offsets` int64 [n + 1], the first token of each; of pairs also `types` int64 [T]. Images:
/// `inputs` float32 [n, C, H, W], normalised and augmented, channels-last in memory; `offsets`
/// undefined.
struct Batch {
  at::Tensor inputs;
  at::Tensor offsets;
  at::Tensor types;                   ///< of pairs' tokens: 0 in the first text, 1 in the second
  at::Tensor labels;                  ///< int64 [n]; uint8 [n, C]; float32 [n, K]: see Labels
  std::vector<std::int64_t> samples;  ///< index in the split of each, [n]
  std::int64_t epoch = 0;

  std::int64_t size() const { return static_cast<std::int64_t>(samples.size()); }
  /// Samples [first, last) of this batch; tensors are views (offsets are rebased).
  Batch slice(std::int64_t first, std::int64_t last) const;
};

}  // namespace thaw
