#pragma once

namespace thaw {

/// kGelu is x Phi(x); kGeluTanh its approximation by tanh (Hendrycks and Gimpel 2016); kSilu is
/// x / (1 + exp(-x)).
enum class Activation { kGelu, kGeluTanh, kRelu, kSilu };

}  // namespace thaw
