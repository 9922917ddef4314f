#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "core/models/model.h"
#include "core/models/vit/vit_config.h"

namespace thaw {

struct InputFacts;
struct SampleRows;

namespace nn {
class Dense;
class LayerNorm;
class VitEmbeddings;
class VitLayer;
}  // namespace nn

/// A vision transformer with a classification head, under Hugging Face's names: ViT (Dosovitskiy et
/// al. 2021), DINOv2 (Oquab et al. 2023), with registers or without.
/// Groups: embeddings, encoder.0 ... encoder.N-1, head, which has the last LayerNorm too.
///
/// Between groups, hidden states are [T, hidden] in float32 (or float64), T tokens of all images.
/// Mathematics are those of transformers' ViTForImageClassification (the head sees the class
/// token), Dinov2ForImageClassification and Dinov2WithRegistersForImageClassification (the class
/// token and the mean of the patches), but for Note [Positions of other sizes].
class Vit : public Model {
 public:
  /// Parameters are uninitialised until `initialize` or loading.
  Vit(const VitConfig& config, std::int64_t classes);

  const std::vector<ParameterGroup>& groups() const override { return groups_; }
  bool groups_read_their_own() const override { return true; }
  bool repeats_itself() const override { return true; }
  /// Of the layers; the head computes as it lies.
  std::vector<LayerWeights> product_weights() override;
  at::Tensor run(std::size_t first, std::size_t last, at::Tensor input,
                 const Batch& batch) override;

  /// By config.json's names.
  std::map<std::string, std::string> settings() const override { return function_of(config_); }
  /// Files may have Hugging Face's names, or timm's (which are those of the authors' DINOv2).
  WeightNaming weight_naming() const override;
  /// Recomputes encoder layers, one at a time.
  void set_gradient_checkpointing(bool on) override { recomputes_ = on; }

  /// Random values as transformers draw them: normal, biases and registers 0, LayerNorm 1 and 0.
  /// `head_only`: the classifier; all else becomes 0.
  void initialize(std::uint64_t seed, bool head_only);

  const VitConfig& config() const { return config_; }
  /// The vectors of positions that images of so many rows and columns of patches get, the class
  /// token's first: [1, 1 + rows * columns, hidden].
  at::Tensor positions(std::int64_t rows, std::int64_t columns) const;

 protected:
  bool has_bfloat16() const override { return true; }

 private:
  at::Tensor encode(const std::shared_ptr<nn::VitLayer>& layer, const at::Tensor& hidden,
                    const std::shared_ptr<const SampleRows>& rows) const;
  at::Tensor head(const at::Tensor& hidden, std::int64_t samples) const;
  std::shared_ptr<const SampleRows> rows_of(const Batch& batch) const;
  /// On a GPU, those of the groups' weights that are trained, all at once.
  void round_weights(std::size_t first, std::size_t last);

  VitConfig config_;
  std::vector<ParameterGroup> groups_;
  bool recomputes_ = false;
  std::shared_ptr<nn::VitEmbeddings> embeddings_;
  std::vector<std::shared_ptr<nn::VitLayer>> layers_;
  std::shared_ptr<nn::LayerNorm> norm_;
  std::shared_ptr<nn::Dense> classifier_;
};

}  // namespace thaw
