#pragma once

#include <cstdint>
#include <memory>

namespace thaw {

class Model;
struct InputFacts;
struct ModelOptions;

/// torchvision's ResNet 18, 34, 50, 101 and 152 (He et al. 2016; stride in the 3x3 convolution) for
/// `options.depth`, under torchvision's names. Groups: stem, layer1 ... layer4, head.
std::shared_ptr<Model> make_resnet(const ModelOptions& options, std::int64_t classes,
                                   const InputFacts& input, std::uint64_t seed);

/// The ResNets for CIFAR of He et al. 2016, section 4.2: depth 20, 32, 44, 56 (6 n + 2), shortcuts
/// of option A (every second pixel, new channels zero). Groups: stem, layer1 ... layer3, head.
std::shared_ptr<Model> make_cifar_resnet(const ModelOptions& options, std::int64_t classes,
                                         const InputFacts& input, std::uint64_t seed);

}  // namespace thaw
