#pragma once

#include <ATen/core/Tensor.h>
#include <torch/nn/module.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "core/kernels/decoder/attention_shape.h"
#include "core/kernels/decoder/rotary.h"
#include "core/kernels/project.h"
#include "core/models/layers/derived_weights.h"

namespace thaw {

struct SampleRows;

namespace nn {

// What decoders are made of. Hidden states are packed: [T, width], the tokens of all samples one
// after another without padding, as SampleRows says. The residual stream between layers is float32
// (float64); products run in the type that BlockContext says.

/// What a block's forward is told besides its input.
struct BlockContext {
  std::shared_ptr<const SampleRows> rows;
  c10::ScalarType compute;  ///< of products
  RotaryTable angles;       ///< from place 0, or of a cache's next token on; or of no tensors
};

/// What a block keeps of earlier tokens of one sample: [length, key heads, size] each. Undefined
/// before the first.
struct BlockCache {
  at::Tensor keys, values;
};

/// One of a decoder's layers.
class DecoderBlock : public torch::nn::Module, public KeepsDerivedWeights {
 public:
  virtual at::Tensor forward(const at::Tensor& hidden, const BlockContext& context) = 0;
  /// The same for the next tokens of one sample, which join the cache. Without autograd.
  virtual at::Tensor next(const at::Tensor& hidden, const BlockContext& context,
                          BlockCache& cache) = 0;
  /// Adds those weights that products multiply by.
  virtual void list_weights(std::vector<LayerWeights>& list) = 0;
};

/// A weight [out, in] and, perhaps, a bias [out].
class Linear : public torch::nn::Module, public KeepsDerivedWeights {
 public:
  Linear(std::int64_t in, std::int64_t out, bool with_bias);

  /// With the bias, in `compute`.
  at::Tensor forward(const at::Tensor& input, c10::ScalarType compute);
  void weights_changed() override { prepared.clear(); }
  /// Adds what products multiply by.
  void list_weights(std::vector<LayerWeights>& list) { list.push_back({prepared, {weight}}); }

  at::Tensor weight;
  at::Tensor bias;  ///< undefined where there is none
  PreparedWeights prepared;
};

/// A table of vectors, [rows, width].
class WordTable : public torch::nn::Module {
 public:
  WordTable(std::int64_t rows, std::int64_t width);
  at::Tensor weight;
};

/// The scale of a root mean square norm, [width].
class RmsNorm : public torch::nn::Module {
 public:
  explicit RmsNorm(std::int64_t width);
  at::Tensor weight;
};

/// Adds a vector to each row of a product, in its type; an undefined one adds nothing. Takes the
/// rows' memory over.
at::Tensor add_bias(at::Tensor rows, const at::Tensor& bias);

/// Attention of the next tokens of one sample to all so far: `projected` [t, shape.columns()], as
/// causal_attention takes it, whose keys and values join the cache. Returns [t, heads * size].
at::Tensor cached_attention(const at::Tensor& projected, const AttentionShape& shape,
                            BlockCache& cache);

}  // namespace nn
}  // namespace thaw
