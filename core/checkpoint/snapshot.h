#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "core/models/weights/safetensors.h"
#include "core/parallel/stage_coordinator.h"

namespace thaw {

// Note [Snapshots of a GPU]
// The link to the host carries far less than the GPU's own memory does, and memory of the host
// must be pinned for it first. So `take` only queues copies on the GPU, between two steps by
// the order of the stream, and whoever writes brings them to the host, beside training, on a stream
// of its own. Meanwhile, for several steps, the GPU holds them twice; and between two steps, memory
// for activations happens to be free. So copies take what the stage's largest step leaves, and an
// eighth of that step's as room for the next to be larger and for gaps between blocks. What is over
// is copied to the host at once, while training waits; so is all at a transition, where nobody
// knows yet what the stage's steps take. That largest step may have had copies beside it, which
// then count: room is rather found too small than too large.

/// Bytes that copies may take on a GPU of which tensors can have `within_reach`, where steps took
/// `peak` at most.
std::int64_t room_for_copies(std::int64_t within_reach, std::int64_t peak);

/// Whether `bytes` fit into `room`, of which they are taken then.
bool take_room(std::int64_t& room, std::int64_t bytes);

/// Copies of tensors, taken between two steps, so that training goes on while they are written. The
/// memory is kept for the next copy: it costs its pages once.
class Snapshot {
 public:
  Snapshot();
  ~Snapshot();
  Snapshot(const Snapshot&) = delete;
  Snapshot& operator=(const Snapshot&) = delete;

  /// Overwrites what was copied before. Of tensors on the host it blocks until all is copied; of
  /// those on a GPU it does not, as far as copies fit into `room` bytes there: see Note [Snapshots
  /// of a GPU].
  /// `constant`: names of tensors that nobody writes to any longer, which are not copied where they
  /// lie on the host, in a file's order.
  void take(std::span<const NamedTensor> tensors, const std::set<std::string>& constant = {},
            std::int64_t room = 0);

  /// On the thread that writes, before it reads `items`: blocks until all is in host memory.
  void settle();

  const std::vector<SafetensorsItem>& items() const { return items_; }
  std::int64_t bytes() const;

 private:
  struct OnGpu;
  void bring(const OnGpu& copies);

  std::map<std::string, at::Tensor> memory_;
  std::vector<SafetensorsItem> items_;
  std::vector<std::unique_ptr<OnGpu>> on_gpus_;  ///< one for each GPU; gone once settled
};

}  // namespace thaw
