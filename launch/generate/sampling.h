#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <span>

namespace thaw {

/// How the next token is chosen by the probabilities of all.
struct SamplingOptions {
  double temperature = 0;  ///< logits are divided by it; 0: the most likely token
  /// Only the most likely tokens that have this share of probability together, at least one (the
  /// nucleus of Holtzman et al., "The curious case of neural text degeneration", ICLR 2020); 1:
  /// all.
  double top_p = 1;
  std::uint64_t seed = 0;  ///< of the draws
};

/// A number in [0, 1) for the token at `place` of a text: the same for the same seed and place,
/// whatever was drawn before.
double sampling_draw(std::uint64_t seed, std::uint64_t place);

/// The token, an index into `logits`, that `draw` in [0, 1) falls on: tokens lie in [0, 1) by
/// falling probability, of equal ones the lower first. At temperature 0 the first of the most
/// likely. Throws RunError where logits are not finite, of which nothing could be said.
std::int64_t choose_token(std::span<const double> logits, const SamplingOptions& options,
                          double draw);

/// The same of a tensor [vocabulary] on any device.
std::int64_t choose_token(const at::Tensor& logits, const SamplingOptions& options, double draw);

}  // namespace thaw
