#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "core/models/convnext/convnext_config.h"
#include "core/models/model.h"

namespace thaw {

namespace nn {
class ConvNextBlock;
class ConvNextDownsampling;
class Convolution;
class Dense;
class LayerNorm;
}  // namespace nn

/// ConvNeXt (Liu et al. 2022) with a classification head, under Hugging Face's names and with the
/// mathematics of transformers' ConvNextForImageClassification.
/// Groups: stem, stages.0.0 (stage and block; a stage's first has the downsampling before it) ...,
/// head, which has the last LayerNorm too.
class ConvNext : public Model {
 public:
  /// Parameters are uninitialised until `initialize` or loading.
  ConvNext(const ConvNextConfig& config, std::int64_t classes);

  const std::vector<ParameterGroup>& groups() const override { return groups_; }
  bool repeats_itself() const override { return true; }
  /// Of the layers; convolutions and the head have their own.
  std::vector<LayerWeights> product_weights() override;
  at::Tensor run(std::size_t first, std::size_t last, at::Tensor input,
                 const Batch& batch) override;

  /// By config.json's names.
  std::map<std::string, std::string> settings() const override { return function_of(config_); }
  /// Files may have Hugging Face's names, timm's, or torchvision's.
  WeightNaming weight_naming() const override;
  /// Recomputes blocks, one at a time.
  void set_gradient_checkpointing(bool on) override { recomputes_ = on; }

  /// Random values as transformers draw them: normal, biases 0, LayerNorm 1 and 0. `head_only`: the
  /// classifier; all else becomes 0.
  void initialize(std::uint64_t seed, bool head_only);

 protected:
  bool has_bfloat16() const override { return true; }

 private:
  struct Step {
    std::shared_ptr<nn::ConvNextDownsampling> before;  ///< null: none
    std::shared_ptr<nn::ConvNextBlock> block;
  };

  void add_stage(torch::nn::Module& stages, std::size_t stage, std::vector<double>::iterator drops);
  /// On a GPU, those of the groups' weights that are trained, all at once.
  void round_weights(std::size_t first, std::size_t last, at::ScalarType compute);
  at::Tensor stem(const Batch& batch, at::ScalarType compute) const;
  at::Tensor step(const Step& step, const at::Tensor& input, at::ScalarType compute) const;

  ConvNextConfig config_;
  std::vector<ParameterGroup> groups_;
  bool recomputes_ = false;
  std::shared_ptr<nn::Convolution> patches_;
  std::shared_ptr<nn::LayerNorm> patch_norm_, last_norm_;
  std::vector<Step> steps_;
  std::shared_ptr<nn::Dense> classifier_;
};

}  // namespace thaw
