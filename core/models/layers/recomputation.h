#pragma once

#include <ATen/core/Tensor.h>

#include <cstddef>
#include <functional>
#include <utility>
#include <vector>

namespace torch::nn {
class Module;
}

namespace thaw {

/// One part of a network, from its input to its output.
using Segment = std::function<at::Tensor(const at::Tensor&)>;

/// Gradient checkpointing (Chen and others 2016): returns `segment(input)`, of which only the input
/// is kept for backward, which runs the segment once more for what lies between.
///
/// `module` holds all parameters and layers that the segment uses; it, and what the segment refers
/// to, must be as they are now when backward comes. Gradients are those of the segment itself, to
/// the last bit where its kernels repeat themselves: random draws are drawn again (a DrawScope's
/// and those of LibTorch's generators), BatchNorms use the statistics of the first run and count it
/// once. Gradients of parameters come together when the segment's backward has ended, through the
/// graph that it is part of: hooks hear of each parameter once, also where several segments share
/// it. (Only a hook on a parameter *tensor* hears of its segment's share too.)
///
/// Runs the segment and nothing else where autograd records nothing: in evaluation, in the frozen
/// prefix, inside another segment. See Note [Gradient checkpointing] in recomputation.cpp.
/// Throws InputError where `module` has a batch normalisation that is not nn::BatchNorm2d: it would
/// count its batch twice.
at::Tensor recomputed(const at::Tensor& input, const torch::nn::Module& module, Segment segment);

/// While one lives, a segment runs on this thread: for layers that have to know. Belongs to the
/// thread that made it.
class SegmentRun {
 public:
  /// What the first run leaves for later ones.
  using Kept = std::vector<at::Tensor>;

  /// `again`: `kept` is what the first run left; else it is what this, the first one, fills.
  SegmentRun(Kept& kept, bool again);
  ~SegmentRun();
  SegmentRun(const SegmentRun&) = delete;
  SegmentRun& operator=(const SegmentRun&) = delete;

  /// True where the segment ran before: effects that last have been had.
  bool again() const { return again_; }
  /// In a first run.
  void keep(at::Tensor value) { kept_.push_back(std::move(value)); }
  /// In a later one: what the first kept, in the order in which it kept it.
  at::Tensor take() { return kept_.at(next_++); }

  /// This thread's, or null.
  static SegmentRun* current();

 private:
  Kept& kept_;
  bool again_;
  std::size_t next_ = 0;
  SegmentRun* outer_;
};

}  // namespace thaw
