#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <set>
#include <string>

namespace thaw {

class HostWeights;
class SharedWeights;

/// Where the weights lie that nobody trains, as a run goes from stage to stage: on a GPU in the
/// type of its products alone (Note [Frozen weights in host memory]), in host memory once for the
/// ranks of a host (Note [Frozen weights once a host]). Belongs to the training thread.
class FrozenWeights {
 public:
  /// Either may be null: then nothing moves, or each rank has its own.
  /// `piece`: bytes that a rank has on the host of its own, of what it brings there to be shared.
  FrozenWeights(std::unique_ptr<HostWeights> in_host_memory, std::unique_ptr<SharedWeights> shared,
                std::int64_t piece = std::int64_t{256} << 20);
  ~FrozenWeights();

  /// Says that these parameters will be active next, and makes ready for it what takes long. False:
  /// no memory shall be made like theirs before the transition.
  bool prepare(const std::set<std::string>& active);
  /// Waits for what `prepare` began.
  void wait_prepared() const;
  /// After `prepare`, a tensor that lies as this parameter will: for who makes memory like it.
  at::Tensor as_thawed(const at::Tensor& parameter) const;

  /// Gives these parameters memory of their own where they are trained, before they are.
  void thaw(const std::set<std::string>& active);
  /// A collective: all but these are frozen from now on. See SharedWeights::freeze.
  void freeze(const std::set<std::string>& active);

  /// The run ends early: what lies in host memory stays there.
  void leave_there();

  /// Of this rank's weights that it has in common with others of its host.
  std::int64_t shared_bytes() const;

 private:
  std::unique_ptr<HostWeights> in_host_memory_;
  std::unique_ptr<SharedWeights> shared_;
  std::int64_t piece_;
};

}  // namespace thaw
