#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "core/models/model.h"

namespace thaw {

/// What a decoder keeps of the tokens that it has read of one sample: keys and values by layer,
/// [length, key heads, size]. One begins empty.
struct DecoderCache {
  std::vector<at::Tensor> keys, values;
  std::int64_t length = 0;  ///< tokens so far
};

/// A language model that predicts each token from those before it, as who generates text uses it.
/// Its result in training is that of OutputRows' kNextTokens.
class Decoder : public Model {
 public:
  /// Logits [vocabulary], in float32 (float64), of what follows `tokens` (int64 [t], t >= 1), which
  /// come after those of the cache, and join it. Without autograd, and without dropout. Throws
  /// InputError past `context()` and for a token that the model does not have; the cache is then
  /// as it was.
  virtual at::Tensor next_logits(const at::Tensor& tokens, DecoderCache& cache) = 0;

  /// Tokens are 0 to `vocabulary()` - 1.
  virtual std::int64_t vocabulary() const = 0;
  /// Most tokens of a sample.
  virtual std::int64_t context() const = 0;
};

}  // namespace thaw
