#pragma once

#include <ATen/core/Tensor.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "core/data/activations/activation_layout.h"

namespace thaw {

class PrefixRunner;

/// What is found out about frozen groups before their outputs are kept.
struct PrefixProbe {
  /// Why they cannot be kept, as the end of a sentence; "" where they can.
  std::string problem;
  std::vector<ActivationLayout> layouts;  ///< of each boundary
  std::vector<at::Tensor> first_block;    ///< behind each boundary, as `laid_out` has it
  /// Whether samples have the same bits in batches of other compositions.
  bool same_bits = true;
  /// Else: the largest difference, over the largest value.
  double difference = 0;
};

/// Runs the first blocks of the runner's split up to `boundaries` (ascending), and some of their
/// samples in forwards of `sizes` samples, until bits differ. See Note [Bits of cached
/// activations].
PrefixProbe probe_prefix(const PrefixRunner& runner, std::span<const std::size_t> boundaries,
                         std::span<const std::int64_t> sizes);

/// Of a forward up to each boundary, a sample. After `probe_prefix`, in which all was made that is
/// made once.
std::vector<double> prefix_seconds(const PrefixRunner& runner,
                                   std::span<const std::size_t> boundaries);

}  // namespace thaw
