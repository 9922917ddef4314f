#pragma once

#include <type_traits>

namespace thaw {

/// kGelu is x Phi(x); kGeluTanh its approximation by tanh (Hendrycks and Gimpel 2016); kSilu is
/// x / (1 + exp(-x)).
enum class Activation { kGelu, kGeluTanh, kRelu, kSilu };

/// Calls `body` with the activation as a compile-time constant.
template <typename Body>
void with_activation(Activation activation, const Body& body) {
  switch (activation) {
    case Activation::kGelu:
      return body(std::integral_constant<Activation, Activation::kGelu>());
    case Activation::kGeluTanh:
      return body(std::integral_constant<Activation, Activation::kGeluTanh>());
    case Activation::kRelu:
      return body(std::integral_constant<Activation, Activation::kRelu>());
    case Activation::kSilu:
      return body(std::integral_constant<Activation, Activation::kSilu>());
  }
}

}  // namespace thaw
