#include <ATen/ops/adaptive_avg_pool2d.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/max_pool2d.h>
#include <ATen/ops/relu.h>
#include <ATen/ops/zeros.h>
#include <fmt/format.h>

#include <functional>
#include <string>
#include <vector>

#include "core/base/error.h"
#include "core/config/configuration.h"
#include "core/data/batch.h"
#include "core/models/family.h"
#include "core/models/layers/initialization.h"
#include "core/models/layers/recomputation.h"
#include "core/models/model.h"
#include "core/models/resnet/resnet_blocks.h"
#include "core/models/weights/weight_naming.h"

namespace thaw {
namespace {

/// What tells one ResNet from another.
struct ResNetShape {
  std::vector<std::int64_t> blocks;  ///< of each layer
  std::int64_t width = 64;           ///< of the stem and the first layer; doubles layer by layer
  bool bottleneck = false;
  bool cifar = false;  ///< 3x3 stem without pooling, zero-padded shortcuts
};

class ResNet : public Model {
 public:
  ResNet(const ResNetShape& shape, std::int64_t channels, std::int64_t classes)
      : shape_(shape), head_name_(shape.cifar ? "linear" : "fc") {
    const std::int64_t stem_kernel = shape.cifar ? 3 : 7, stem_stride = shape.cifar ? 1 : 2;
    conv1_ = register_module("conv1", std::make_shared<nn::Convolution>(channels, shape.width,
                                                                        stem_kernel, stem_stride));
    bn1_ = register_module("bn1", std::make_shared<nn::BatchNorm2d>(shape.width));
    groups_.push_back({"stem", {"conv1.*", "bn1.*"}});
    std::int64_t in = shape.width;
    for (std::size_t layer = 0; layer < shape.blocks.size(); ++layer) {
      const std::string name = fmt::format("layer{}", layer + 1);
      add_layer(name, in, shape.width << layer, shape.blocks[layer], layer == 0 ? 1 : 2);
      groups_.push_back({name, {name + ".*"}});
    }
    const auto head = register_module(head_name_, std::make_shared<torch::nn::Module>());
    head_weight_ = head->register_parameter("weight", at::zeros({classes, in}));
    head_bias_ = head->register_parameter("bias", at::zeros({classes}));
    groups_.push_back({"head", {head_name_ + ".*"}});
  }

  const std::vector<ParameterGroup>& groups() const override { return groups_; }
  bool repeats_itself() const override { return true; }
  bool reaches_every_parameter() const override { return true; }

  WeightNaming weight_naming() const override {
    WeightNaming naming;
    naming.classifier = {head_name_ + ".*"};
    return naming;
  }

  at::Tensor run(std::size_t first, std::size_t last, at::Tensor input,
                 const Batch& batch) override {
    at::Tensor x = first == 0 ? images(batch) : std::move(input);
    for (std::size_t group = first; group < last; ++group) {
      x = run_group(group, x);
    }
    return x;
  }

  /// Recomputes residual blocks, one at a time.
  void set_gradient_checkpointing(bool on) override { recomputes_ = on; }

  /// `head_only`: all else, which a file will set, stays 0.
  void initialize(std::uint64_t seed, bool head_only);

 protected:
  bool has_bfloat16() const override { return true; }

 private:
  void add_layer(const std::string& name, std::int64_t& in, std::int64_t width, std::int64_t blocks,
                 std::int64_t stride) {
    const auto layer = register_module(name, std::make_shared<torch::nn::Module>());
    const nn::Shortcut shortcut =
        shape_.cifar ? nn::Shortcut::kZeroPadded : nn::Shortcut::kProjection;
    std::vector<std::shared_ptr<nn::ResidualBlock>> made;
    for (std::int64_t i = 0; i < blocks; ++i) {
      std::shared_ptr<nn::ResidualBlock> block;
      if (shape_.bottleneck) {
        block = std::make_shared<nn::BottleneckBlock>(in, width, i == 0 ? stride : 1, shortcut);
        in = width * nn::BottleneckBlock::kExpansion;
      } else {
        block = std::make_shared<nn::BasicBlock>(in, width, i == 0 ? stride : 1, shortcut);
        in = width * nn::BasicBlock::kExpansion;
      }
      made.push_back(layer->register_module(std::to_string(i), block));
    }
    layers_.push_back(std::move(made));
  }

  /// From here on, activations have the type that the layers compute in.
  at::Tensor images(const Batch& batch) const {
    const at::ScalarType dtype = product_type(conv1_->weight.scalar_type());
    return batch.inputs.to(conv1_->weight.device(), dtype)
        .contiguous(at::MemoryFormat::ChannelsLast);
  }

  at::Tensor run_group(std::size_t group, at::Tensor x) {
    if (group == 0) {
      at::Tensor stem = bn1_->forward(conv1_->forward(x));
      at::relu_(stem);
      return shape_.cifar ? stem : at::max_pool2d(stem, {3, 3}, {2, 2}, {1, 1});
    }
    if (group <= layers_.size()) {
      for (const auto& block : layers_[group - 1]) {
        x = recomputes_ ? recomputed(x, *block,
                                     [block](const at::Tensor& in) { return block->forward(in); })
                        : block->forward(x);
      }
      return x;
    }
    const at::Tensor features = at::adaptive_avg_pool2d(x, {1, 1}).flatten(1);
    return at::linear(features.to(head_weight_.scalar_type()), head_weight_, head_bias_);
  }

  ResNetShape shape_;
  bool recomputes_ = false;
  std::string head_name_;
  std::vector<ParameterGroup> groups_;
  std::shared_ptr<nn::Convolution> conv1_;
  std::shared_ptr<nn::BatchNorm2d> bn1_;
  std::vector<std::vector<std::shared_ptr<nn::ResidualBlock>>> layers_;
  at::Tensor head_weight_, head_bias_;
};

/// As the two sources of weights start theirs: torchvision, and the CIFAR ResNets of Idelbayev.
void ResNet::initialize(std::uint64_t seed, bool head_only) {
  const Initializer initializer(seed);
  for (const auto& item : named_parameters()) {
    const at::Tensor& tensor = item.value();
    if (tensor.dim() == 4 && !head_only) {
      if (shape_.cifar) {
        initializer.kaiming_normal_fan_in(tensor, item.key());
      } else {
        initializer.kaiming_normal_fan_out(tensor, item.key());
      }
    }
  }
  if (shape_.cifar) {
    initializer.kaiming_normal_fan_in(head_weight_, head_name_ + ".weight");
  } else {
    initializer.torch_default(head_weight_, head_name_ + ".weight", head_weight_);
  }
  initializer.torch_default(head_bias_, head_name_ + ".bias", head_weight_);
}

ResNetShape torchvision_shape(std::int64_t depth) {
  switch (depth) {
    case 18:
      return {.blocks = {2, 2, 2, 2}};
    case 34:
      return {.blocks = {3, 4, 6, 3}};
    case 50:
      return {.blocks = {3, 4, 6, 3}, .bottleneck = true};
    case 101:
      return {.blocks = {3, 4, 23, 3}, .bottleneck = true};
    case 152:
      return {.blocks = {3, 8, 36, 3}, .bottleneck = true};
    default:
      throw InputError(fmt::format(
          "model.depth: there is no resnet of depth {} (known: 18, 34, 50, 101, 152)", depth));
  }
}

ResNetShape cifar_shape(std::int64_t depth) {
  const std::int64_t blocks = (depth - 2) / 6;
  if (blocks < 1 || depth != 6 * blocks + 2 || depth > 1202) {
    throw InputError(fmt::format(
        "model.depth: there is no resnet-cifar of depth {} (20, 32, 44, 56, or any 6 n + 2)",
        depth));
  }
  return {.blocks = {blocks, blocks, blocks}, .width = 16, .cifar = true};
}

std::shared_ptr<Model> make(const ResNetShape& shape, const ModelOptions& options,
                            std::int64_t classes, const InputFacts& input, std::uint64_t seed) {
  if (input.channels < 1) {
    throw InputError(fmt::format("a model for images of {} channels", input.channels));
  }
  const auto model = std::make_shared<ResNet>(shape, input.channels, classes);
  model->initialize(seed, /*head_only=*/!options.weights.empty());
  return model;
}

/// Images that the first convolution takes.
InputFacts images_behind(const ShapeOfWeight& shape_of) {
  const auto first = shape_of("conv1.weight");
  return {.kind = InputFacts::Kind::kImages,
          .channels = first && first->size() == 4 ? (*first)[1] : 3};
}

/// What both families have alike; `shape` is that of a depth.
ModelFamily resnet_family_of(ResNetShape (*shape)(std::int64_t depth)) {
  return {.takes = InputFacts::Kind::kImages,
          .make =
              [shape](const ModelOptions& options, std::int64_t classes, const InputFacts& input,
                      std::uint64_t seed) {
                return make(shape(options.depth), options, classes, input, seed);
              },
          .trained_on = images_behind,
          .instead_of_export =
              "its weights have torchvision's names already and load with load_state_dict"};
}

}  // namespace

/// torchvision's ResNet 18, 34, 50, 101 and 152 (He et al. 2016; stride in the 3x3 convolution) for
/// `options.depth`, under torchvision's names. Groups: stem, layer1 ... layer4, head.
ModelFamily resnet_family() { return resnet_family_of(torchvision_shape); }

/// The ResNets for CIFAR of He et al. 2016, section 4.2: depth 20, 32, 44, 56 (6 n + 2), shortcuts
/// of option A (every second pixel, new channels zero). Groups: stem, layer1 ... layer3, head.
ModelFamily resnet_cifar_family() { return resnet_family_of(cifar_shape); }

}  // namespace thaw
