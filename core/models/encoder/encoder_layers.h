#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/ScalarType.h>
#include <torch/nn/module.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "core/kernels/add_norm.h"
#include "core/kernels/project.h"
#include "core/models/layers/derived_weights.h"

namespace thaw {

struct SampleRows;

namespace nn {

// What encoders are made of. Hidden states are packed: [T, hidden], the tokens of all samples one
// after another without padding, as SampleRows says.

/// A table of vectors, [rows, width].
class Table : public torch::nn::Module {
 public:
  /// Uninitialised.
  Table(std::int64_t rows, std::int64_t width);
  at::Tensor weight;
};

/// What a layer's forward is told besides its input.
struct EncoderContext {
  std::shared_ptr<const SampleRows> rows;
  c10::ScalarType compute;  ///< of products
};

/// One of an encoder's layers.
class EncoderBlock : public torch::nn::Module, public KeepsDerivedWeights {
 public:
  /// Of the input, the rounded form may be missing.
  virtual NormResult forward(const NormResult& input, const EncoderContext& context) = 0;
  /// Adds those weights that products multiply by.
  virtual void list_weights(std::vector<LayerWeights>& list) = 0;
};

}  // namespace nn
}  // namespace thaw
