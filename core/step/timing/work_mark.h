#pragma once

#include <c10/core/Device.h>

#include <functional>
#include <memory>
#include <optional>

namespace thaw {

// Note [Times of what is queued]
// A GPU computes what the host has queued, later, so a clock of the host that stands around a
// forward tells how long queueing took. What a GPU's time goes to is told by marks that are queued
// between the works, which cost neither a wait nor a copy, and are read when the GPU is known to
// have passed them: in a step that is told, behind the reading of its loss.

/// A moment of the work, which can be set again and again. Not thread-safe; different marks may be
/// set on different threads.
class WorkMark {
 public:
  virtual ~WorkMark() = default;

  /// Now: of a GPU, as soon as all that this thread's current stream was given so far is done.
  /// False where that cannot be told: while the stream is captured for a graph, or where the GPU
  /// has failed, which whoever gives it work hears too.
  virtual bool set() = 0;
  /// Whether that moment has come. Does not wait.
  virtual bool passed() const = 0;
  /// Since another mark of the same work. Waits until both have been passed.
  virtual double seconds_since(const WorkMark& earlier) const = 0;
};

using MakeWorkMark = std::function<std::unique_ptr<WorkMark>()>;

/// Of marks on the host's work, or on that of `gpu`.
MakeWorkMark work_marks(std::optional<c10::Device> gpu = std::nullopt);

#if defined(THAW_HAVE_CUDA)
/// A mark on the work of `gpu`.
std::unique_ptr<WorkMark> make_gpu_mark(c10::Device gpu);
#endif

}  // namespace thaw
