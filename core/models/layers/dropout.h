#pragma once

#include <ATen/core/Tensor.h>
#include <torch/nn/module.h>

#include <cstdint>
#include <optional>

#include "core/kernels/random/draw_scope.h"

namespace thaw {
namespace nn {

/// Dropout whose draws do not depend on rank, micro-batch or padding: see Note [Keyed draws].
///
/// Within a DrawScope it drops by (seed, epoch, sample, site); outside of one it is at::dropout.
/// In evaluation mode and with probability 0 it returns its input. Rows (the first dimension) are
/// samples, or, in a scope with offsets, tokens.
class Dropout : public torch::nn::Module {
 public:
  /// Throws std::invalid_argument unless 0 <= probability <= 1.
  explicit Dropout(double probability);

  at::Tensor forward(const at::Tensor& input);

  /// The draws of one use, for kernels that fuse dropout with something else; none in evaluation
  /// mode and with probability 0. Outside of a scope the draws are keyed by LibTorch's generator,
  /// and `rows` must say how many rows there are: samples, and the offsets of their tokens or none.
  std::optional<DropoutDraws> draws(const SampleRows& rows);

  double probability() const { return probability_; }
  /// Which of the network's dropouts this is; set by assign_draw_sites.
  std::uint32_t site() const { return site_; }
  void set_site(std::uint32_t site) { site_ = site; }

 private:
  bool active() const { return is_training() && probability_ > 0; }

  double probability_;
  std::uint32_t site_ = 0;
};

}  // namespace nn

/// A probability of dropping: [model]'s `key` where it is `given` (0 or more), else config.json's.
/// Throws InputError for one above 1.
double dropout_option(double given, double otherwise, const char* key);

/// Numbers all Dropouts below `module` from 1, in the order of their names, so that each draws
/// differently and the same network draws the same everywhere. The trainer does it for every
/// model; call it again after adding a Dropout.
void assign_draw_sites(torch::nn::Module& module);

}  // namespace thaw
