// Graphs: what may be captured, and what a graph does when it is launched.

#include <utility>

#include "tests/null_gpu/device.h"
#include "tests/null_gpu/ledger.h"

namespace null_gpu {
namespace {

thread_local cudaStreamCaptureMode mode_of_thread = cudaStreamCaptureModeGlobal;

}  // namespace

cudaError_t Devices::broken(Capture& capture, const char* call, cudaError_t error) {
  Ledger::get().count("calls refused while capturing");
  Ledger::get().fault(std::string(call) + " while a graph is captured");
  capture.invalid = true;
  return error;
}

/// Calls that could wait for what is being captured: with mode "global" no thread may make them,
/// with "thread-local" not the one that captures; a thread that has relaxed its own mode may.
cudaError_t Devices::refuse_while_capturing(const char* call) {
  if (mode_of_thread == cudaStreamCaptureModeRelaxed) return cudaSuccess;
  for (const auto& capture : captures_) {
    const bool mine = capture->thread == thread_number();
    if (capture->mode == cudaStreamCaptureModeRelaxed) continue;
    if (capture->mode == cudaStreamCaptureModeThreadLocal && !mine) continue;
    if (!mine && mode_of_thread == cudaStreamCaptureModeThreadLocal) continue;
    return broken(*capture, call, cudaErrorStreamCaptureUnsupported);
  }
  return cudaSuccess;
}

cudaError_t Devices::refuse_on_captured(cudaStream_t handle, const char* call) {
  CUstream_st& on = *stream(handle);
  if (on.capture) return broken(*on.capture, call, cudaErrorStreamCaptureUnsupported);
  return refuse_beside_blocking(on, call);
}

/// An event that was recorded while capturing stands for nothing that is ever done, in any mode;
/// what is asked about another one could be what was to be captured.
cudaError_t Devices::refuse_to_ask(cudaEvent_t event, const char* call) {
  if (event->capture) return broken(*event->capture, call, cudaErrorCapturedEvent);
  return refuse_while_capturing(call);
}

/// nullptr where there is none. See Note [The default stream].
Capture* Devices::captured_with(const CUstream_st& on) const {
  if (!on.is_default) return nullptr;
  for (const CUstream_st* other : streams_) {
    if (other->capture && other->blocking && other->device == on.device) {
      return other->capture.get();
    }
  }
  return nullptr;
}

cudaError_t Devices::refuse_beside_blocking(const CUstream_st& on, const char* call) {
  Capture* const capture = captured_with(on);
  return capture ? broken(*capture, call, cudaErrorStreamCaptureImplicit) : cudaSuccess;
}

cudaError_t Devices::capture_status(cudaStream_t handle, cudaStreamCaptureStatus* status) {
  const CUstream_st& on = *stream(handle);
  if (captured_with(on)) return cudaErrorStreamCaptureImplicit;  // breaks nothing: it only asks
  *status = !on.capture           ? cudaStreamCaptureStatusNone
            : on.capture->invalid ? cudaStreamCaptureStatusInvalidated
                                  : cudaStreamCaptureStatusActive;
  return cudaSuccess;
}

cudaError_t Devices::begin_capture(cudaStream_t handle, cudaStreamCaptureMode mode) {
  CUstream_st& on = *stream(handle);
  if (on.is_default) return cudaErrorStreamCaptureUnsupported;
  if (on.capture) return cudaErrorIllegalState;
  on.capture = std::make_shared<Capture>(Capture{.origin = handle,
                                                 .mode = mode,
                                                 .thread = thread_number(),
                                                 .id = ++captures_begun_,
                                                 .unjoined = {},
                                                 .works = {}});
  captures_.push_back(on.capture);
  Ledger::get().count("captures");
  return cudaSuccess;
}

cudaError_t Devices::end_capture(cudaStream_t handle, cudaGraph_t* graph) {
  CUstream_st& on = *stream(handle);
  *graph = nullptr;
  const std::shared_ptr<Capture> capture = on.capture;
  if (!capture) return cudaErrorIllegalState;
  if (capture->origin != handle) return cudaErrorStreamCaptureUnmatched;
  if (capture->mode != cudaStreamCaptureModeRelaxed && capture->thread != thread_number()) {
    return cudaErrorStreamCaptureWrongThread;
  }
  captures_.remove(capture);
  on.capture = nullptr;
  for (CUstream_st* other : streams_) {
    if (other->capture == capture) other->capture = nullptr;
  }
  if (capture->invalid) return cudaErrorStreamCaptureInvalidated;
  if (!capture->unjoined.empty()) {
    Ledger::get().fault("a capture ends while a stream that joined it was not waited for");
    return cudaErrorStreamCaptureUnjoined;
  }
  *graph = new CUgraph_st{std::move(capture->works)};
  return cudaSuccess;
}

cudaStreamCaptureMode Devices::exchange_capture_mode(cudaStreamCaptureMode mode) {
  return std::exchange(mode_of_thread, mode);
}

/// A graph's works are in no order among each other that could be wrong: capture has checked that.
/// Where time is measured, and order is not looked at, they are not gone through for each other's
/// sake: a launch is to cost the host little, as it does where a driver has the graph.
cudaError_t Devices::launch(cudaGraphExec_t graph, cudaStream_t handle) {
  CUstream_st& on = *stream(handle);
  if (on.capture) return broken(*on.capture, "cudaGraphLaunch", cudaErrorStreamCaptureUnsupported);
  Ledger::get().count("launches");
  Ledger::get().count("graph launches");
  if (orders_) {
    for (const Work& work : graph->works) run(on, work);
    return cudaSuccess;
  }
  advance(on);
  for (const auto& [what, times] : graph->counted) {
    Ledger::get().work(what.first, what.second, times);
  }
  for (const Work& work : graph->works) {
    if (work.effect) work.effect();
  }
  return cudaSuccess;
}

}  // namespace null_gpu

CUgraphExec_st::CUgraphExec_st(const CUgraph_st& graph) : works(graph.works) {
  for (const null_gpu::Work& work : works) ++counted[{work.kind, work.name}];
}
