#include "core/step/device/recorded_work_cuda.h"

#include <ATen/cuda/CUDAEvent.h>
#include <ATen/cuda/CUDAGraph.h>
#include <c10/cuda/CUDACachingAllocator.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>

#include <exception>
#include <map>

namespace thaw {
namespace {

class CudaGraphWork final : public RecordedWork {
 public:
  void replay() override { graph.replay(); }

  at::cuda::CUDAGraph graph;
};

/// The default stream cannot be recorded. One a GPU for all recordings, since cuBLAS keeps a
/// workspace for each stream that it has seen.
c10::cuda::CUDAStream recording_stream(c10::DeviceIndex gpu) {
  static std::map<c10::DeviceIndex, c10::cuda::CUDAStream> streams;
  const auto known = streams.find(gpu);
  if (known != streams.end()) return known->second;
  return streams.emplace(gpu, c10::cuda::getStreamFromPool(/*isHighPriority=*/false, gpu))
      .first->second;
}

void wait(const c10::cuda::CUDAStream& waiting, const c10::cuda::CUDAStream& earlier) {
  at::cuda::CUDAEvent here(cudaEventDisableTiming);
  here.record(earlier);
  here.block(waiting);
}

/// So that LibTorch's allocator does not take what comes later for a part of it.
void give_up(at::cuda::CUDAGraph& graph) {
  try {
    graph.capture_end();
  } catch (const std::exception&) {
    // It cannot end well: what broke it is told by who called.
  }
}

}  // namespace

std::unique_ptr<RecordedWork> record_work(c10::Device gpu, RecordedWork* earlier,
                                          const std::function<void()>& body) {
  const c10::cuda::CUDAGuard device(gpu);
  const c10::cuda::CUDAStream current = c10::cuda::getCurrentCUDAStream(gpu.index());
  const c10::cuda::CUDAStream recording = recording_stream(gpu.index());
  c10::MempoolId_t memory = {0, 0};  // of its own
  if (earlier != nullptr) {
    memory = static_cast<CudaGraphWork*>(earlier)->graph.pool();
  } else {  // what the steps before have left is to be had for it
    c10::cuda::CUDACachingAllocator::emptyCache();
  }
  wait(recording, current);
  auto work = std::make_unique<CudaGraphWork>();
  {
    const c10::cuda::CUDAStreamGuard guard(recording);
    // Of this thread alone: the loader's goes on asking for memory meanwhile.
    work->graph.capture_begin(memory, cudaStreamCaptureModeThreadLocal);
    try {
      body();
    } catch (...) {
      give_up(work->graph);
      throw;
    }
    work->graph.capture_end();
  }
  wait(current, recording);
  return work;
}

}  // namespace thaw
