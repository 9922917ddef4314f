// The CUDA runtime's streams, events and graphs.

#include <cuda_runtime_api.h>

#include "tests/null_gpu/ledger.h"
#include "tests/null_gpu/libraries.h"

using null_gpu::Devices;
using null_gpu::Ledger;
using null_gpu::locked;
using null_gpu::remember;

extern "C" {

// Streams.

cudaError_t cudaStreamCreateWithPriority(cudaStream_t* stream, unsigned flags, int) {
  return locked([&](Devices& devices) {
    *stream = devices.create_stream((flags & cudaStreamNonBlocking) == 0);
    return cudaSuccess;
  });
}
cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned flags) {
  return cudaStreamCreateWithPriority(stream, flags, 0);
}
cudaError_t cudaStreamCreate(cudaStream_t* stream) { return cudaStreamCreateWithFlags(stream, 0); }
cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  return locked([&](Devices& devices) { return devices.destroy_stream(stream); });
}
cudaError_t cudaStreamGetPriority(cudaStream_t, int* priority) {
  *priority = 0;
  return cudaSuccess;
}
cudaError_t cudaStreamSynchronize(cudaStream_t handle) {
  return locked([&](Devices& devices) {
    const cudaError_t refused = devices.refuse_on_captured(handle, "cudaStreamSynchronize");
    if (refused != cudaSuccess) return refused;
    return devices.synchronize_stream(handle);
  });
}
cudaError_t cudaStreamQuery(cudaStream_t handle) {
  return locked([&](Devices& devices) {
    const cudaError_t refused = devices.refuse_on_captured(handle, "cudaStreamQuery");
    return refused != cudaSuccess ? refused : devices.query_stream(handle);
  });
}
cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned) {
  return locked([&](Devices& devices) { return devices.wait(stream, event); });
}

// Events.

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned flags) {
  *event = new CUevent_st{.device = Devices::get().current(),
                          .timing = (flags & cudaEventDisableTiming) == 0,
                          .clock = {},
                          .capture = {}};
  Ledger::get().count("events created");
  return cudaSuccess;
}
cudaError_t cudaEventCreate(cudaEvent_t* event) { return cudaEventCreateWithFlags(event, 0); }
cudaError_t cudaEventDestroy(cudaEvent_t event) {
  delete event;
  return cudaSuccess;
}
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  return locked([&](Devices& devices) { return devices.record(event, stream); });
}
cudaError_t cudaEventRecordWithFlags(cudaEvent_t event, cudaStream_t stream, unsigned) {
  return cudaEventRecord(event, stream);
}
cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  return locked([&](Devices& devices) {
    const cudaError_t refused = devices.refuse_to_ask(event, "cudaEventSynchronize");
    if (refused != cudaSuccess) return refused;
    event->news = false;
    return devices.synchronize(event->clock, "event");
  });
}
cudaError_t cudaEventQuery(cudaEvent_t event) {
  return locked([&](Devices& devices) {
    const cudaError_t refused = devices.refuse_to_ask(event, "cudaEventQuery");
    return refused != cudaSuccess ? refused : devices.query(event->news, event->clock, "event");
  });
}
cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t begin, cudaEvent_t end) {
  return locked([&](Devices& devices) {
    if (!begin->timing || !end->timing || !begin->recorded || !end->recorded) {
      return cudaErrorInvalidResourceHandle;
    }
    *milliseconds = 0.1F;
    return devices.query(end->news, end->clock, "elapsed time");
  });
}

// Graphs.

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode mode) {
  return locked([&](Devices& devices) { return devices.begin_capture(stream, mode); });
}
cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph) {
  return locked([&](Devices& devices) { return devices.end_capture(stream, graph); });
}
cudaError_t cudaStreamIsCapturing(cudaStream_t handle, cudaStreamCaptureStatus* status) {
  return locked([&](Devices& devices) { return devices.capture_status(handle, status); });
}
cudaError_t cudaStreamGetCaptureInfo(cudaStream_t stream, cudaStreamCaptureStatus* status,
                                     unsigned long long* id, cudaGraph_t* graph,
                                     const cudaGraphNode_t** nodes, const cudaGraphEdgeData** edges,
                                     std::size_t* count) {
  const cudaError_t error = cudaStreamIsCapturing(stream, status);
  const auto lock = Devices::get().lock();
  const auto& capture = Devices::get().stream(stream)->capture;
  if (id) *id = capture ? capture->id : 0;
  if (graph) *graph = nullptr;
  if (nodes) *nodes = nullptr;
  if (edges) *edges = nullptr;
  if (count) *count = 0;
  return error;
}
cudaError_t cudaThreadExchangeStreamCaptureMode(cudaStreamCaptureMode* mode) {
  *mode = Devices::get().exchange_capture_mode(*mode);
  return cudaSuccess;
}
cudaError_t cudaGraphGetNodes(cudaGraph_t graph, cudaGraphNode_t*, std::size_t* count) {
  *count = graph->works.size();
  return cudaSuccess;
}
cudaError_t cudaGraphInstantiateWithFlags(cudaGraphExec_t* made, cudaGraph_t graph,
                                          unsigned long long) {
  *made = new CUgraphExec_st(*graph);
  return cudaSuccess;
}
cudaError_t cudaGraphInstantiate(cudaGraphExec_t* made, cudaGraph_t graph,
                                 unsigned long long flags) {
  return cudaGraphInstantiateWithFlags(made, graph, flags);
}
cudaError_t cudaGraphUpload(cudaGraphExec_t, cudaStream_t) { return cudaSuccess; }
cudaError_t cudaGraphLaunch(cudaGraphExec_t graph, cudaStream_t stream) {
  return locked([&](Devices& devices) { return devices.launch(graph, stream); });
}
cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  delete graph;
  return cudaSuccess;
}
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t graph) {
  delete graph;
  return cudaSuccess;
}

}  // extern "C"
