#include <ATen/core/Tensor.h>
#include <ATen/cuda/CUDAEvent.h>
#include <c10/cuda/CUDAException.h>
#include <c10/cuda/CUDAGraphsC10Utils.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>

#include "dist/communicator/gpu_stream.h"

namespace thaw {

namespace {

class CudaEvent final : public GpuEvent {
 public:
  explicit CudaEvent(const c10::cuda::CUDAStream& stream) { event_.record(stream); }

  // A thread that records a graph may ask for events of what runs only if it says that it knows.
  // The watch's has no GPU of its own: without one, to ask would take memory of the first that it
  // sees.
  bool done() const override {
    const c10::cuda::CUDAGuard device(event_.device_index());
    const c10::cuda::CUDAStreamCaptureModeGuard relaxed(cudaStreamCaptureModeRelaxed);
    return event_.query();
  }
  double seconds_since(const GpuEvent& earlier) const override {
    const c10::cuda::CUDAStreamCaptureModeGuard relaxed(cudaStreamCaptureModeRelaxed);
    return static_cast<const CudaEvent&>(earlier).event_.elapsed_time(event_) * 1e-3;
  }
  at::cuda::CUDAEvent& event() const { return event_; }

 private:
  mutable at::cuda::CUDAEvent event_{cudaEventDefault};  ///< with timing; `block` is not const
};

class CudaStream final : public GpuStream {
 public:
  explicit CudaStream(int gpu)
      : stream_(c10::cuda::getStreamFromPool(/*isHighPriority=*/true,
                                             static_cast<c10::DeviceIndex>(gpu))) {}

  CUstream_st* handle() const override { return stream_.stream(); }
  std::string device() const override { return stream_.device().str(); }
  bool holds(const at::Tensor& tensor) const override {
    return tensor.device() == stream_.device();
  }

  void follow_current() override {
    at::cuda::CUDAEvent here(cudaEventDisableTiming);
    here.record(current());
    here.block(stream_);
  }
  bool is_recorded() const override {
    cudaStreamCaptureStatus status = cudaStreamCaptureStatusNone;
    C10_CUDA_CHECK(cudaStreamIsCapturing(current().stream(), &status));
    return status != cudaStreamCaptureStatusNone;
  }
  std::unique_ptr<GpuEvent> record() override { return std::make_unique<CudaEvent>(stream_); }
  void hold_current(const GpuEvent& event) override {
    static_cast<const CudaEvent&>(event).event().block(current());
  }

 private:
  c10::cuda::CUDAStream current() const {
    return c10::cuda::getCurrentCUDAStream(stream_.device_index());
  }

  const c10::cuda::CUDAStream stream_;
};

}  // namespace

std::shared_ptr<GpuStream> make_gpu_stream(int gpu) { return std::make_shared<CudaStream>(gpu); }

}  // namespace thaw
