#pragma once

#include <c10/core/Device.h>

#include <functional>
#include <memory>

namespace thaw {

/// What a GPU was asked for once and can be asked for again with one call, with the same kernels,
/// sizes and addresses: a CUDA graph. The memory in which it computes is nobody else's while it
/// lives.
class RecordedWork {
 public:
  virtual ~RecordedWork() = default;
  /// Queues it on this thread's current stream.
  virtual void replay() = 0;
};

#if defined(THAW_HAVE_CUDA)
/// Records what `body` queues on this thread's current stream, and on streams that wait for that
/// and that it waits for; what an autograd thread queues for it is among it. Nothing of it runs.
/// Memory that `body` reads must have been written by what is queued on the stream that is current
/// before. `earlier`: shares its memory with that one, beside which it is never replayed and whose
/// results nobody reads after it was; null: takes its own. Throws c10::Error where it does what a
/// graph cannot hold (waits for the GPU, copies from pageable memory).
std::unique_ptr<RecordedWork> record_work(c10::Device gpu, RecordedWork* earlier,
                                          const std::function<void()>& body);
#else
inline std::unique_ptr<RecordedWork> record_work(c10::Device, RecordedWork*,
                                                 const std::function<void()>&) {
  return nullptr;  // there is no GPU whose work could be recorded
}
#endif

}  // namespace thaw
