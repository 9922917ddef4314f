#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

namespace thaw {

/// Which tensors a captured step has left in `.grad`: a graph that is queued again writes to their
/// memory, while `.grad` is what the host ran last, another graph or a step call by call.
///
/// Does not keep that memory, which is the graph's and which other graphs compute in: what is put
/// back is to be read before another of them runs, and to be taken away before the graph goes.
class LeftGradients {
 public:
  /// What the parameters have now, each dense or none.
  explicit LeftGradients(const std::vector<at::Tensor>& parameters);

  /// The parameters have these gradients again, and where they had none, none.
  void put_back() const;
  /// Parameters that have one of them have none.
  void take_away() const;

 private:
  struct Left {
    at::Tensor parameter, gradient;
  };
  std::vector<Left> left_;
};

}  // namespace thaw
