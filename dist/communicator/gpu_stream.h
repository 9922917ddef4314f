#pragma once

#include <functional>
#include <memory>
#include <string>

#include "dist/communicator/nccl/nccl_api.h"

namespace at {
class Tensor;
}

namespace thaw {

/// A place in the work that was queued on a stream.
class GpuEvent {
 public:
  virtual ~GpuEvent() = default;
  /// Whether the GPU has come so far. Does not wait; any thread may ask. Throws what the GPU failed
  /// with.
  virtual bool done() const = 0;
  /// GPU time that passed between two events of one stream; both are done.
  virtual double seconds_since(const GpuEvent& earlier) const = 0;
};

/// A stream of work on one GPU, apart from the streams that compute. Nothing here blocks the host.
///
/// "The current stream" is LibTorch's for the stream's GPU on the calling thread.
class GpuStream {
 public:
  virtual ~GpuStream() = default;

  virtual CUstream_st* handle() const = 0;
  /// "cuda:0"
  virtual std::string device() const = 0;
  /// Whether `tensor` (defined) lies on this stream's GPU.
  virtual bool holds(const at::Tensor& tensor) const = 0;

  /// What is queued here from now on comes after all that is queued on the current stream so far.
  virtual void follow_current() = 0;
  /// Whether what is queued on the current stream is recorded in a CUDA graph and does not run. An
  /// event made meanwhile orders what is recorded, and says nothing of what the GPU has done.
  virtual bool is_recorded() const = 0;
  /// The end of what is queued here so far.
  virtual std::unique_ptr<GpuEvent> record() = 0;
  /// What is queued on the current stream from now on comes after `event`, of this stream.
  virtual void hold_current(const GpuEvent& event) = 0;
};

/// What the NCCL communicators of one rank are made of.
struct GpuParts {
  std::shared_ptr<NcclApi> nccl;
  std::function<std::shared_ptr<GpuStream>()> make_stream;
};

/// Defined where Thaw is built with CUDA: a stream of high priority, so that a sum does not queue
/// behind the kernels of backward.
std::shared_ptr<GpuStream> make_gpu_stream(int gpu);

}  // namespace thaw
