#include <ATen/cuda/CUDAEvent.h>
#include <c10/cuda/CUDAGraphsC10Utils.h>
#include <c10/cuda/CUDAStream.h>
#include <c10/util/Exception.h>

#include "core/step/timing/work_mark.h"

namespace thaw {
namespace {

class GpuMark final : public WorkMark {
 public:
  explicit GpuMark(c10::Device gpu) : gpu_(gpu) {}

  bool set() override {
    try {
      if (c10::cuda::currentStreamCaptureStatusMayInitCtx() != c10::cuda::CaptureStatus::None) {
        return false;
      }
      event_.record(c10::cuda::getCurrentCUDAStream(gpu_.index()));
    } catch (const c10::Error&) {
      return false;  // a GPU that has failed fails at whatever it is asked next
    }
    return true;
  }
  bool passed() const override { return event_.query(); }
  double seconds_since(const WorkMark& earlier) const override {
    if (!event_.query()) event_.synchronize();
    return static_cast<const GpuMark&>(earlier).event_.elapsed_time(event_) * 1e-3;
  }

 private:
  c10::Device gpu_;
  at::cuda::CUDAEvent event_{cudaEventDefault};  ///< with timing
};

}  // namespace

std::unique_ptr<WorkMark> make_gpu_mark(c10::Device gpu) { return std::make_unique<GpuMark>(gpu); }

}  // namespace thaw
