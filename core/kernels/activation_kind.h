#pragma once

namespace thaw {

/// kGelu is x Phi(x); kGeluTanh its approximation by tanh (Hendrycks and Gimpel 2016).
enum class Activation { kGelu, kGeluTanh, kRelu };

}  // namespace thaw
