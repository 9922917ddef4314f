#pragma once

#include <ATen/core/Tensor.h>

#include <cstddef>
#include <functional>
#include <vector>

#include "core/base/stopwatch.h"

namespace thaw {

class Model;
class PrefixSource;
struct Batch;

/// Measures which of a model's groups the time of forward and backward goes to, by running them one
/// after another and hearing when backward passes from one to the next. The numbers that come out
/// are the same as without it. On the host alone: what a GPU is at, the host does not see.
class GroupClock {
 public:
  /// As forward_past_prefix (core/step/frozen_prefix.h).
  at::Tensor forward(Model& model, std::size_t cut, const Batch& batch,
                     const PrefixSource* source = nullptr);
  /// Times `backward`, of what the last `forward` led to.
  void backward(const std::function<void()>& backward);

  /// Of all passes so far, of each of the model's own groups; empty where the model runs as a whole
  /// and does not tell (ModuleModel).
  const std::vector<double>& seconds() const { return seconds_; }

 private:
  void passed(std::size_t group);

  std::vector<double> seconds_;
  Stopwatch watch_;
  std::size_t cut_ = 0;
  std::size_t at_ = 0;  ///< the group whose backward is under way
};

}  // namespace thaw
