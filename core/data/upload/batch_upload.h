#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/Device.h>

#include <cstdint>
#include <memory>
#include <optional>

#include "core/data/batch.h"

namespace thaw {

// Note [One upload a batch]
// A copy from memory that the system may move blocks the host until the GPU has done all before it,
// so one such copy a step already undoes what queueing ahead gains. So a batch travels in one
// buffer (its images in a second), pinned, and on a stream of its own: the loader's thread
// starts the copy as soon as the batch is read, several steps before it is needed, and the step
// only makes its stream wait for it. Kernels get what they read per row (DeviceRows) with it.
// Who gives pinned memory back too early lets a copy read the next batch. It comes from LibTorch's
// pool for that: the copy leaves an event there, and memory is not given out again before the event
// has passed, however early the tensor was dropped. Memory on the GPU likewise: see `use`.

/// A batch on its way to a GPU.
class BatchUpload {
 public:
  BatchUpload();
  ~BatchUpload();
  BatchUpload(const BatchUpload&) = delete;
  BatchUpload& operator=(const BatchUpload&) = delete;

  /// The batch there, for whatever this thread queues on its current stream from now on. Does not
  /// block the host.
  Batch use() const;
  /// What the uploaded batch is filled up to; null: it is as it was.
  std::shared_ptr<const SizeClass> size_class() const;

 private:
  friend class BatchPlace;
  friend class BatchUploader;
  struct State;
  std::unique_ptr<State> state_;
};

/// Where batches that look the same to the host lie on a GPU, one after another: kernels that are
/// queued again and again find each at the same addresses (Note [Captured steps]). Belongs to the
/// training thread.
class BatchPlace {
 public:
  /// For batches like `first`, which is not brought yet.
  explicit BatchPlace(const BatchUpload& first);
  ~BatchPlace();
  BatchPlace(const BatchPlace&) = delete;
  BatchPlace& operator=(const BatchPlace&) = delete;

  /// Queues on this thread's current stream what brings `upload` there, behind all that reads the
  /// one before. Does not block the host. Throws c10::Error for one of other sizes.
  void bring(const BatchUpload& upload);

  /// Whichever batch is there when what the caller queues with it runs. What the host sees of it
  /// besides sizes, the samples' indices among that, is `first`'s.
  Batch view() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// Starts uploads on a stream of its own. Belongs to one thread, which is a loader's.
class BatchUploader {
 public:
  /// `device` is a GPU.
  explicit BatchUploader(at::Device device);
  ~BatchUploader();
  BatchUploader(const BatchUploader&) = delete;
  BatchUploader& operator=(const BatchUploader&) = delete;

  std::shared_ptr<const BatchUpload> start(const Batch& batch);

 private:
  struct Stream;
  std::unique_ptr<Stream> stream_;
};

/// `batch` on `device` in one copy, queued on this thread's current stream; `batch` itself where it
/// is there already.
Batch uploaded(const Batch& batch, at::Device device);

/// A tensor for images as they are read: uint8 or float32 [n, C, H, W], channels last, pinned where
/// they are to travel to a GPU.
at::Tensor image_memory(at::IntArrayRef sizes, at::ScalarType type, bool pinned);

}  // namespace thaw
