#pragma once

#include <ATen/core/Tensor.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

namespace thaw {

/// Whose floating-point operations.
enum class FlopKind : std::uint8_t { kForward, kInputGradient, kWeightGradient };

/// Floating-point operations of matrix products, convolutions and attention, a multiplication and
/// an addition counting as two, as torch.utils.flop_counter counts them. What works on single
/// elements (norms, activations, dropout, optimizer) is left out there and here.
struct Flops {
  double forward = 0;
  double input_gradients = 0;   ///< what backward needs to reach the layers below
  double weight_gradients = 0;  ///< what backward needs for active weights

  double total() const { return forward + input_gradients + weight_gradients; }
  Flops& operator+=(const Flops& other);
  friend Flops operator*(Flops flops, double factor) {
    flops.forward *= factor;
    flops.input_gradients *= factor;
    flops.weight_gradients *= factor;
    return flops;
  }
};

/// Counts while it lives what its thread computes, backward on the threads of a GPU included: by
/// LibTorch's operators, of whatever module, and by Thaw's own kernels. One at a time a thread, and
/// destroyed by the thread that made it.
///
/// See Note [Counting operations] in flop_counter.cpp for how gradients are told apart. Costs some
/// microseconds an operator while it lives, and nothing otherwise.
class FlopCounter {
 public:
  /// `parameters`: all of the module's, frozen ones too.
  explicit FlopCounter(const std::vector<at::Tensor>& parameters);
  ~FlopCounter();
  FlopCounter(const FlopCounter&) = delete;
  FlopCounter& operator=(const FlopCounter&) = delete;

  Flops flops() const;

  class Collector;

 private:
  std::unique_ptr<Collector> collector_;
  std::uint64_t callback_;
};

/// While one lives, what its thread's FlopCounter counts belongs to a backward. Costs next to
/// nothing where nobody counts.
class FlopBackward {
 public:
  FlopBackward();
  ~FlopBackward();
  FlopBackward(const FlopBackward&) = delete;
  FlopBackward& operator=(const FlopBackward&) = delete;
};

/// While one lives, the calling thread's operators are of this kind whatever they look like: for
/// kernels that know.
class FlopKindScope {
 public:
  explicit FlopKindScope(FlopKind kind);
  ~FlopKindScope();
  FlopKindScope(const FlopKindScope&) = delete;
  FlopKindScope& operator=(const FlopKindScope&) = delete;

 private:
  int before_;
};

/// While one lives, the calling thread's operators are not counted: for kernels that say themselves
/// what they compute. Other observers, LibTorch's profiler among them, still see them.
class FlopsSaidApart {
 public:
  FlopsSaidApart();
  ~FlopsSaidApart();
  FlopsSaidApart(const FlopsSaidApart&) = delete;
  FlopsSaidApart& operator=(const FlopsSaidApart&) = delete;

 private:
  int before_;
};

/// For kernels that are no operator of LibTorch: the calling thread computed so much.
void report_flops(FlopKind kind, double count);

}  // namespace thaw
