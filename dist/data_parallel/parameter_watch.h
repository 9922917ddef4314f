#pragma once

#include <c10/core/StorageImpl.h>
#include <c10/util/intrusive_ptr.h>

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "core/parallel/stage_coordinator.h"

namespace torch::autograd {
struct Node;
}

namespace thaw {

/// Notices what a loop does to its parameters behind a DataParallel's back.
///
/// Nothing here is a collective, and nothing reads more than a few values a parameter.
class ParameterWatch {
 public:
  explicit ParameterWatch(const std::vector<NamedTensor>& active);

  /// Keeps a few values of the parameters in host memory, to be compared with later ones. (Not
  /// their versions: LibTorch's SGD writes through `data()`, which has none.)
  void remember();
  /// The name of a parameter whose values are no longer those remembered; "" where none is.
  std::string changed() const;

  /// The name of a parameter whose hooks are gone, since it was converted or moved to a device
  /// after they were set; "" where none is.
  std::string moved() const;

  /// Keeps where the gradients lie that stand in `.grad`, and how often they were written to.
  void remember_gradients();
  /// Whether the gradient of a parameter (still) lies there: by its memory, since a module's
  /// `zero_grad(false)` makes another tensor of it.
  bool is_remembered(std::size_t parameter) const;
  /// Whether it is, and nothing was written to it since, or only zeros (`zero_grad`). What goes
  /// through `data()`, as LibTorch's clipping does, is not seen. Reads all that was written to.
  bool is_left_over(std::size_t parameter) const;
  /// Whether it is and something else was, as far as a few of its values in host memory tell.
  bool seems_written(std::size_t parameter) const;

  /// Whether any parameter has a `.grad`.
  bool any_gradient() const;
  /// Whether any parameter's `.grad` holds anything but zeros.
  bool any_gradient_holds_something() const;

 private:
  using Values = std::array<std::uint64_t, 3>;
  struct Gradient {
    c10::weak_intrusive_ptr<c10::StorageImpl> memory;  ///< so its address is no other's meanwhile
    std::int64_t offset;
    std::uint32_t version;
  };
  static Values values_of(const at::Tensor& tensor);
  static Gradient gradient_of(const at::Tensor& grad);

  const std::vector<NamedTensor>& active_;
  std::vector<std::shared_ptr<torch::autograd::Node>> accumulators_;
  std::vector<std::size_t> samples_;  ///< parameters that are looked at
  std::vector<Values> values_;        ///< theirs
  std::vector<Gradient> gradients_;   ///< of all
};

/// Keeps others from wrapping the same parameters for as long as it lives: their hooks would both
/// average. Throws InputError, naming one that is taken.
class ParameterClaim {
 public:
  explicit ParameterClaim(std::span<const NamedTensor> parameters);
  ~ParameterClaim();
  ParameterClaim(const ParameterClaim&) = delete;
  ParameterClaim& operator=(const ParameterClaim&) = delete;

 private:
  std::vector<NamedTensor> claimed_;
};

}  // namespace thaw
