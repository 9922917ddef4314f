#include <fmt/format.h>
#include <torch/nn/modules/batchnorm.h>
#include <torch/nn/modules/container/sequential.h>

#include <optional>
#include <set>
#include <string>
#include <utility>

#include "core/base/error.h"
#include "core/models/layers/batch_norm.h"
#include "core/parallel/agreement.h"

namespace thaw {

namespace {

template <class Ours, class Theirs>
std::shared_ptr<Ours> convert(const Theirs& layer) {
  const auto& options = layer.options;
  auto result = std::make_shared<Ours>(
      nn::BatchNormTensors{layer.weight, layer.bias, layer.running_mean, layer.running_var,
                           layer.num_batches_tracked},
      nn::BatchNormSettings{options.eps(), options.momentum(), options.affine(),
                            options.track_running_stats()});
  result->train(layer.is_training());
  return result;
}

/// A layer of ours for one of LibTorch's, and its place in a Sequential; nothing for others.
std::optional<torch::nn::AnyModule> replacement(const torch::nn::Module& layer) {
  if (const auto* one = dynamic_cast<const torch::nn::BatchNorm1dImpl*>(&layer)) {
    return torch::nn::AnyModule(converted(*one));
  }
  if (const auto* two = dynamic_cast<const torch::nn::BatchNorm2dImpl*>(&layer)) {
    return torch::nn::AnyModule(converted(*two));
  }
  if (const auto* three = dynamic_cast<const torch::nn::BatchNorm3dImpl*>(&layer)) {
    return torch::nn::AnyModule(converted(*three));
  }
  return std::nullopt;
}

struct Place {
  torch::nn::SequentialImpl* in;
  std::size_t number;
  std::string name;
};

std::vector<Place> places_in(torch::nn::Module& module) {
  std::vector<Place> places;
  std::set<const torch::nn::Module*> replaceable;
  const auto modules = module.modules(/*include_self=*/false);
  const auto look_into = [&](torch::nn::Module& one) {
    auto* sequential = dynamic_cast<torch::nn::SequentialImpl*>(&one);
    if (sequential == nullptr) return;
    const auto children = sequential->named_children();
    for (std::size_t i = 0; i < children.size(); ++i) {
      if (!replacement(*children[i].value())) continue;
      places.push_back({sequential, i, children[i].key()});
      replaceable.insert(children[i].value().get());
    }
  };
  look_into(module);
  for (const auto& one : modules) look_into(*one);
  for (const auto& item : module.named_modules(std::string(), /*include_self=*/false)) {
    if (replaceable.contains(item.value().get()) || !replacement(*item.value())) continue;
    throw InputError(fmt::format(
        "module \"{}\" is a batch normalisation of LibTorch's that a member of its module holds, "
        "so that its type cannot be changed from outside: declare that member as "
        "std::shared_ptr<thaw::nn::BatchNorm2d> (1d, 3d), made by thaw::converted(*layer) where it "
        "is loaded",
        item.key()));
  }
  return places;
}

}  // namespace

std::shared_ptr<nn::BatchNorm1d> converted(const torch::nn::BatchNorm1dImpl& layer) {
  return convert<nn::BatchNorm1d>(layer);
}
std::shared_ptr<nn::BatchNorm2d> converted(const torch::nn::BatchNorm2dImpl& layer) {
  return convert<nn::BatchNorm2d>(layer);
}
std::shared_ptr<nn::BatchNorm3d> converted(const torch::nn::BatchNorm3dImpl& layer) {
  return convert<nn::BatchNorm3d>(layer);
}

std::size_t convert_batch_norms(torch::nn::Module& module) {
  const std::vector<Place> places = places_in(module);
  for (const Place& place : places) {
    const auto at = place.in->begin() + static_cast<std::ptrdiff_t>(place.number);
    torch::nn::AnyModule ours = *replacement(*at->ptr());
    place.in->replace_module(place.name, ours.ptr());
    *at = std::move(ours);
  }
  return places.size();
}

SynchronizedBatchNorms::SynchronizedBatchNorms(Communicator& world, torch::nn::Module& module) {
  agreed(world, [&] { convert_batch_norms(module); });
  communicator_ = world.split(0);
  norms_ = std::make_unique<BatchNorms>(module);
  norms_->set_communicator(communicator_.get());
}

SynchronizedBatchNorms::~SynchronizedBatchNorms() { norms_->set_communicator(nullptr); }

}  // namespace thaw
