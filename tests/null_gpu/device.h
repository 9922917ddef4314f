#pragma once

#include <cuda_runtime_api.h>

#include <functional>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "tests/null_gpu/memory.h"
#include "tests/null_gpu/order.h"

// What CUDA's handles point to, here.

struct CUgraph_st;

namespace null_gpu {

/// One use of memory by a piece of work; of unknown extent where `bytes` is 0.
struct MemoryUse {
  const void* pointer = nullptr;
  std::size_t bytes = 0;
  Use how = Use::kUnknown;
};

/// A piece of work for a device, queued on a stream or captured into a graph.
struct Work {
  std::string kind;  ///< "kernel", "gemm", "convolution", "copy", "memset", "collective"
  std::string name;
  std::vector<MemoryUse> uses;
  std::function<void()> effect;  ///< what little of it is done, on the host
};

/// What is being captured, by its first stream and those that joined by waiting for its events.
struct Capture {
  cudaStream_t origin = nullptr;
  cudaStreamCaptureMode mode = cudaStreamCaptureModeGlobal;
  int thread = 0;
  unsigned long long id = 0;
  bool invalid = false;  ///< a call has broken it: it cannot be ended well
  std::set<cudaStream_t> unjoined;
  std::vector<Work> works;
};

}  // namespace null_gpu

struct CUstream_st {
  int device = 0;
  bool blocking = true;  ///< waits for the default stream and the other way round
  bool is_default = false;
  null_gpu::Actor actor = 0;
  bool news = false;  ///< something was queued since the host last asked
  std::shared_ptr<null_gpu::Capture> capture;
};

struct CUevent_st {
  int device = 0;
  bool timing = true;
  null_gpu::Clock clock;
  bool recorded = false;
  bool news = false;
  std::shared_ptr<null_gpu::Capture> capture;
  cudaStream_t captured_on = nullptr;
};

struct CUgraph_st {
  std::vector<null_gpu::Work> works;
};

struct CUgraphExec_st {
  explicit CUgraphExec_st(const CUgraph_st& graph);

  std::vector<null_gpu::Work> works;
  std::map<std::pair<std::string, std::string>, long> counted;  ///< by kind and name
};

namespace null_gpu {

/// All devices of the process. Everything below is called with `lock()` held.
class Devices {
 public:
  static Devices& get();
  [[nodiscard]] std::unique_lock<std::recursive_mutex> lock() { return std::unique_lock(mutex_); }

  int count() const;
  int current() const;
  cudaError_t make_current(int device);

  /// nullptr and CUDA's two special handles are the current device's default stream.
  CUstream_st* stream(cudaStream_t handle);
  CUstream_st* create_stream(bool blocking);
  cudaError_t destroy_stream(cudaStream_t handle);

  /// The one way for work to reach a device.
  cudaError_t queue(cudaStream_t handle, Work work);
  /// A copy: `host_waits` is cudaMemcpy's way.
  cudaError_t copy(void* to, const void* from, std::size_t bytes, cudaStream_t handle,
                   bool host_waits);

  cudaError_t record(cudaEvent_t event, cudaStream_t handle);
  cudaError_t wait(cudaStream_t handle, cudaEvent_t event);
  /// The host waits; `what` is for the counts ("event", "stream", "device"). What has passed
  /// already, as the host has heard, is a synchronization too, but no wait.
  cudaError_t synchronize(const Clock& clock, const char* what);
  /// cudaEventQuery and cudaStreamQuery: not ready when first asked after something new, unless the
  /// host has waited for that in another way.
  cudaError_t query(bool& news, const Clock& clock, const char* what);
  cudaError_t synchronize_device();
  cudaError_t synchronize_stream(cudaStream_t handle);
  cudaError_t query_stream(cudaStream_t handle);
  /// The end of all that is queued on the current device.
  Clock device_clock() const;

  /// A call that is not allowed while a graph is captured: an error that breaks the capture.
  /// `handle`: refused only on a stream that is being captured, and on the default stream while a
  /// blocking one is.
  cudaError_t refuse_while_capturing(const char* call);
  cudaError_t refuse_on_captured(cudaStream_t handle, const char* call);
  /// What asks whether an event has passed, or waits for it.
  cudaError_t refuse_to_ask(cudaEvent_t event, const char* call);
  cudaError_t capture_status(cudaStream_t handle, cudaStreamCaptureStatus* status);
  cudaError_t begin_capture(cudaStream_t handle, cudaStreamCaptureMode mode);
  cudaError_t end_capture(cudaStream_t handle, cudaGraph_t* graph);
  cudaStreamCaptureMode exchange_capture_mode(cudaStreamCaptureMode mode);
  cudaError_t launch(cudaGraphExec_t graph, cudaStream_t handle);

  cudaError_t free(void* pointer);
  cudaError_t free_pinned(void* pointer);
  /// Looks at the sources of uploads that the host does not know to be done, once more.
  void check_uploads(bool all);

  /// Whether order is looked at (NULL_GPU_ORDER=0: it is not, where time is measured).
  bool orders() const { return orders_; }

  Memory memory;

 private:
  Devices();
  struct Upload {
    Range source;
    std::uint64_t sum = 0;
    Actor stream = 0;
    std::uint64_t time = 0;
    bool told = false;
  };

  /// The stream's next piece of work comes: what it is behind.
  void advance(CUstream_st& stream);
  void run(CUstream_st& stream, const Work& work);
  void use(CUstream_st& stream, const Work& work);
  void watch_upload(CUstream_st& stream, const void* from, std::size_t bytes);
  cudaError_t broken(Capture& capture, const char* call, cudaError_t error);
  /// Of a blocking stream, with which the default stream `on` would be captured.
  Capture* captured_with(const CUstream_st& on) const;
  cudaError_t refuse_beside_blocking(const CUstream_st& on, const char* call);

  std::recursive_mutex mutex_;
  Order order_;
  int count_ = 1;
  bool orders_ = true;
  std::string breaks_at_;  ///< kind of work whose first one breaks the devices; empty: none does
  bool broken_ = false;    ///< all that is asked of them fails, as after a failed launch
  std::vector<std::unique_ptr<CUstream_st>> defaults_;
  std::set<CUstream_st*> streams_;
  Clock destroyed_;  ///< what was queued on streams that are gone
  std::list<std::shared_ptr<Capture>> captures_;
  std::list<Upload> uploads_;
  unsigned long long captures_begun_ = 0;
};

/// A small number for the calling thread.
int thread_number();
/// The last error of the calling thread, as cudaGetLastError has it; returns `error`.
cudaError_t remember(cudaError_t error);
cudaError_t last_error(bool clear);

}  // namespace null_gpu
