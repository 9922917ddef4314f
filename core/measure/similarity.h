#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

#include "core/data/batch.h"

namespace thaw {

class Model;

/// Linear centred kernel alignment of two sets of representations of the same samples, [N, a] and
/// [N, b]: 1 where they are equal up to rotation and scale, near 0 where they have nothing in
/// common (Kornblith et al., "Similarity of Neural Network Representations Revisited", ICML 2019,
/// section 3, in its form over N x N kernels). NaN where one of them is constant.
double linear_cka(const at::Tensor& a, const at::Tensor& b);

/// What each group of `model` makes of the batches' samples, a row a sample, float64 on the host:
/// the mean over a sample's tokens, or over an image's places. Empty without batches, and
/// for a model that cannot run group by group. The model is in evaluation mode.
std::vector<at::Tensor> group_representations(Model& model, const std::vector<Batch>& batches);

}  // namespace thaw
