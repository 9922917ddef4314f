#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "core/models/model.h"

namespace thaw {

/// Any `torch::nn` module as a Model: for training somebody's own network with a Trainer.
///
///     thaw::ModuleModel model(net,
///                             {{"features", {"conv*"}}, {"head", {"linear.*"}}},
///                             [&](const thaw::Batch& batch) { return net->forward(batch.inputs);
///                             });
///
/// Parameters and buffers keep the names that they have in the module. `train` and `to` reach the
/// module itself.
///
/// The module runs whole, since nobody else knows where its groups begin: frozen groups before the
/// first active one are not run apart, under a no-grad guard. They cost no backward nevertheless:
/// autograd records nothing before the first parameter that requires a gradient. A model that can
/// run group by group derives from Model instead.
///
/// A batch normalisation of LibTorch's own knows one rank's samples only. On several ranks use
/// thaw::nn::BatchNorm2d, which has the same names, or set `train.batch-norm` to local.
class ModuleModel final : public Model {
 public:
  /// Logits, [n, classes], of a batch on the module's device.
  using Forward = std::function<at::Tensor(const Batch&)>;

  /// `groups`: from input to output. Throws InputError where they do not hold every parameter
  /// once (see resolve_groups).
  ModuleModel(std::shared_ptr<torch::nn::Module> module, std::vector<ParameterGroup> groups,
              Forward forward);

  const std::vector<ParameterGroup>& groups() const override { return groups_; }

  /// Runs the whole module where `last` is the end; else nothing, and returns an undefined tensor.
  at::Tensor run(std::size_t first, std::size_t last, at::Tensor input,
                 const Batch& batch) override;

  void train(bool on = true) override;

 private:
  std::shared_ptr<torch::nn::Module> module_;
  std::vector<ParameterGroup> groups_;
  Forward forward_;
};

/// The name of a batch normalisation in `module` that ranks cannot share, since it is not Thaw's
/// own (nn::BatchNorm2d): it takes its statistics over one rank's samples. "" where there is none.
std::string unshared_batch_norm(const torch::nn::Module& module);

}  // namespace thaw
