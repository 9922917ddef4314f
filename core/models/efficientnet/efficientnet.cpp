#include <ATen/core/grad_mode.h>
#include <ATen/ops/adaptive_avg_pool2d.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/relu6.h>
#include <fmt/format.h>

#include <array>
#include <vector>

#include "core/base/error.h"
#include "core/config/configuration.h"
#include "core/data/batch.h"
#include "core/models/efficientnet/inverted_residual.h"
#include "core/models/family.h"
#include "core/models/layers/dense.h"
#include "core/models/layers/initialization.h"
#include "core/models/layers/recomputation.h"
#include "core/models/model.h"
#include "core/models/weights/weight_naming.h"

namespace thaw {
namespace {

/// A run of blocks, of which the first alone has the stride.
struct BlockRun {
  std::int64_t repeats;
  nn::InvertedResidualShape first;
};

/// EfficientNet-Lite0 (Tan and Le 2019, without what a small processor does slowly).
constexpr std::array<BlockRun, 7> kLite0 = {{
    {1, {.in = 32, .out = 16, .kernel = 3, .stride = 1, .expansion = 1}},
    {2, {.in = 16, .out = 24, .kernel = 3, .stride = 2}},
    {2, {.in = 24, .out = 40, .kernel = 5, .stride = 2}},
    {3, {.in = 40, .out = 80, .kernel = 3, .stride = 2}},
    {3, {.in = 80, .out = 112, .kernel = 5, .stride = 1}},
    {4, {.in = 112, .out = 192, .kernel = 5, .stride = 2}},
    {1, {.in = 192, .out = 320, .kernel = 3, .stride = 1}},
}};
constexpr std::int64_t kStemWidth = 32, kLastWidth = 320, kFeatures = 1280;
/// As the source trains it, where [model] says nothing: of the last block, and before the head.
constexpr double kPathDropout = 0.2, kHeadDropout = 0.2;

std::vector<nn::InvertedResidualShape> block_shapes() {
  std::vector<nn::InvertedResidualShape> shapes;
  for (const BlockRun& run : kLite0) {
    nn::InvertedResidualShape shape = run.first;
    for (std::int64_t i = 0; i < run.repeats; ++i) {
      shapes.push_back(shape);
      shape.in = shape.out;
      shape.stride = 1;
    }
  }
  return shapes;
}

/// Under the names of PyPI's efficientnet_lite_pytorch. Groups: stem, blocks.0 ... blocks.15, head.
class EfficientNetLite : public Model {
 public:
  EfficientNetLite(std::int64_t channels, std::int64_t classes, double path_dropout,
                   double head_dropout) {
    const auto same = [](std::int64_t in, std::int64_t out, std::int64_t kernel,
                         std::int64_t stride) {
      return std::make_shared<nn::Convolution>(
          in, out, kernel, stride,
          nn::ConvolutionOptions{.padding = nn::ConvolutionPadding::kSame});
    };
    stem_ = register_module("_conv_stem", same(channels, kStemWidth, 3, 2));
    stem_norm_ = register_module("_bn0", nn::efficientnet_norm(kStemWidth));
    groups_.push_back({"stem", {"_conv_stem.*", "_bn0.*"}});
    add_blocks(path_dropout);
    last_ = register_module("_conv_head", same(kLastWidth, kFeatures, 1, 1));
    last_norm_ = register_module("_bn1", nn::efficientnet_norm(kFeatures));
    dropout_ = register_module("_dropout", std::make_shared<nn::Dropout>(head_dropout));
    classifier_ = register_module("_fc", std::make_shared<nn::Dense>(kFeatures, classes));
    groups_.push_back({"head", {"_conv_head.*", "_bn1.*", "_fc.*"}});
    assign_draw_sites(*this);
  }

  const std::vector<ParameterGroup>& groups() const override { return groups_; }
  bool repeats_itself() const override { return true; }
  bool reaches_every_parameter() const override { return true; }

  WeightNaming weight_naming() const override {
    WeightNaming naming;
    naming.classifier = {"_fc.*"};
    return naming;
  }

  at::Tensor run(std::size_t first, std::size_t last, at::Tensor input,
                 const Batch& batch) override {
    at::Tensor x = first == 0 ? images(batch) : std::move(input);
    for (std::size_t group = first; group < last; ++group) x = run_group(group, x);
    return x;
  }

  /// Recomputes blocks, one at a time.
  void set_gradient_checkpointing(bool on) override { recomputes_ = on; }

  /// As torch starts convolutions and linear layers, which is what the source does. `head_only`:
  /// all but the classifier, which a file will set, stays 0.
  void initialize(std::uint64_t seed, bool head_only) {
    const at::NoGradGuard no_grad;
    const Initializer initializer(seed);
    for (const auto& item : named_parameters()) {
      if (item.value().dim() == 4 && !head_only) {
        initializer.torch_default(item.value(), item.key(), item.value());
      }
    }
    initializer.torch_default(classifier_->weight, "_fc.weight", classifier_->weight);
    initializer.torch_default(classifier_->bias, "_fc.bias", classifier_->weight);
  }

 protected:
  bool has_bfloat16() const override { return true; }

 private:
  void add_blocks(double path_dropout) {
    const auto list = register_module("_blocks", std::make_shared<torch::nn::Module>());
    const std::vector<nn::InvertedResidualShape> shapes = block_shapes();
    for (std::size_t i = 0; i < shapes.size(); ++i) {
      const double drop =
          path_dropout * static_cast<double>(i) / static_cast<double>(shapes.size());
      blocks_.push_back(list->register_module(
          std::to_string(i), std::make_shared<nn::InvertedResidual>(shapes[i], drop)));
      groups_.push_back({fmt::format("blocks.{}", i), {fmt::format("_blocks.{}.*", i)}});
    }
  }

  /// From here on, activations have the type that the layers compute in.
  at::Tensor images(const Batch& batch) const {
    const at::ScalarType dtype = product_type(stem_->weight.scalar_type());
    return batch.inputs.to(stem_->weight.device(), dtype)
        .contiguous(at::MemoryFormat::ChannelsLast);
  }

  at::Tensor run_group(std::size_t group, const at::Tensor& x) {
    if (group == 0) {
      at::Tensor stem = stem_norm_->forward(stem_->forward(x));
      return at::relu6_(stem);
    }
    if (group <= blocks_.size()) {
      const auto& block = blocks_[group - 1];
      return recomputes_ ? recomputed(x, *block,
                                      [block](const at::Tensor& in) { return block->forward(in); })
                         : block->forward(x);
    }
    at::Tensor last = last_norm_->forward(last_->forward(x));
    at::relu6_(last);
    const at::Tensor features = at::adaptive_avg_pool2d(last, {1, 1}).flatten(1);
    const at::Tensor& weight = classifier_->weight;
    return at::linear(dropout_->forward(features.to(weight.scalar_type())), weight,
                      classifier_->bias);
  }

  bool recomputes_ = false;
  std::vector<ParameterGroup> groups_;
  std::shared_ptr<nn::Convolution> stem_, last_;
  std::shared_ptr<nn::BatchNorm2d> stem_norm_, last_norm_;
  std::vector<std::shared_ptr<nn::InvertedResidual>> blocks_;
  std::shared_ptr<nn::Dropout> dropout_;
  std::shared_ptr<nn::Dense> classifier_;
};

std::shared_ptr<Model> make_efficientnet(const ModelOptions& options, std::int64_t classes,
                                         const InputFacts& input, std::uint64_t seed) {
  if (input.channels < 1) {
    throw InputError(fmt::format("a model for images of {} channels", input.channels));
  }
  const auto model = std::make_shared<EfficientNetLite>(
      input.channels, classes, dropout_option(options.dropout, kPathDropout, "dropout"),
      dropout_option(options.head_dropout, kHeadDropout, "head-dropout"));
  model->initialize(seed, /*head_only=*/!options.weights.empty());
  return model;
}

/// Images that the first convolution takes.
InputFacts images_behind(const ShapeOfWeight& shape_of) {
  const auto first = shape_of("_conv_stem.weight");
  return {.kind = InputFacts::Kind::kImages,
          .channels = first && first->size() == 4 ? (*first)[1] : 3};
}

}  // namespace

ModelFamily efficientnet_lite0_family() {
  return {.takes = InputFacts::Kind::kImages,
          .make = make_efficientnet,
          .trained_on = images_behind,
          .instead_of_export =
              "its weights have the names of PyPI's efficientnet_lite_pytorch "
              "already and load with load_state_dict"};
}

}  // namespace thaw
