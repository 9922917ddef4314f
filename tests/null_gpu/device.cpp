#include "tests/null_gpu/device.h"

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <cstring>
#include <string_view>
#include <utility>

#include "tests/null_gpu/ledger.h"

namespace null_gpu {
namespace {

constexpr cudaError_t kBroken = cudaErrorLaunchFailure;

thread_local int current_device = 0;
thread_local cudaError_t error_of_thread = cudaSuccess;

bool is_default(cudaStream_t handle) {
  return handle == nullptr || handle == cudaStreamLegacy || handle == cudaStreamPerThread;
}

/// NULL_GPU_DEVICES of them, less those that CUDA_VISIBLE_DEVICES leaves out.
int devices_wanted() {
  const char* text = std::getenv("NULL_GPU_DEVICES");
  const int all = std::clamp(text ? std::atoi(text) : 1, 0, kMostDevices);
  const char* visible = std::getenv("CUDA_VISIBLE_DEVICES");
  if (!visible) return all;
  const std::string_view list(visible);
  if (list.empty()) return 0;
  return std::min(all, 1 + static_cast<int>(std::count(list.begin(), list.end(), ',')));
}

/// What a download of so many bytes brings in place of zeros, by NULL_GPU_NUMBERS.
struct Numbers {
  std::size_t bytes = 0;  ///< 0: none is to bring anything else
  float value = 0;
};

/// "BYTES:VALUE".
Numbers numbers_wanted() {
  const char* text = std::getenv("NULL_GPU_NUMBERS");
  const char* colon = text ? std::strchr(text, ':') : nullptr;
  if (!colon) return {};
  return {.bytes = std::strtoul(text, nullptr, 10), .value = std::strtof(colon + 1, nullptr)};
}

void download(void* to, std::size_t bytes) {
  static const Numbers numbers = numbers_wanted();
  std::memset(to, 0, bytes);
  if (bytes != numbers.bytes) return;
  auto* out = static_cast<char*>(to);
  for (std::size_t i = 0; i + sizeof(float) <= bytes; i += sizeof(float)) {
    std::memcpy(out + i, &numbers.value, sizeof(float));
  }
}

/// Of bytes that must not change; fast rather than good.
std::uint64_t sum_of(Range range) {
  std::uint64_t sum = 1469598103934665603u;
  const char* bytes = reinterpret_cast<const char*>(range.begin);
  const std::size_t size = range.end - range.begin;
  for (std::size_t i = 0; i < size; i += sizeof(std::uint64_t)) {
    std::uint64_t word = 0;
    std::memcpy(&word, bytes + i, std::min(sizeof word, size - i));
    sum = (sum ^ word) * 1099511628211u;
    sum ^= sum >> 29;
  }
  return sum;
}

/// The host waits for what has not passed yet.
void count_wait(const char* what) {
  Ledger::get().count("waits");
  Ledger::get().count(std::string("waits: ") + what);
}

Range range_of(const void* pointer, std::size_t bytes) {
  const auto begin = reinterpret_cast<std::uintptr_t>(pointer);
  return {begin, begin + bytes};
}

}  // namespace

int thread_number() {
  static std::atomic<int> next = 0;
  thread_local const int mine = next++;
  return mine;
}

cudaError_t remember(cudaError_t error) {
  if (error != cudaSuccess && error != cudaErrorNotReady) error_of_thread = error;
  return error;
}

cudaError_t last_error(bool clear) {
  const cudaError_t error = error_of_thread;
  if (clear) error_of_thread = cudaSuccess;
  return error;
}

Devices& Devices::get() {
  static auto* devices = new Devices;
  return *devices;
}

Devices::Devices() : count_(devices_wanted()) {
  const char* order = std::getenv("NULL_GPU_ORDER");
  orders_ = !order || std::string_view(order) != "0";
  const char* breaks_at = std::getenv("NULL_GPU_BREAKS_AT");
  if (breaks_at) breaks_at_ = breaks_at;
  for (int i = 0; i < kMostDevices; ++i) {
    defaults_.push_back(std::make_unique<CUstream_st>(
        CUstream_st{.device = i, .is_default = true, .actor = order_.add_actor(), .capture = {}}));
  }
  std::atexit([] {
    const auto lock = Devices::get().lock();
    Devices::get().check_uploads(true);
  });
}

int Devices::count() const { return count_; }

int Devices::current() const { return current_device; }

cudaError_t Devices::make_current(int device) {
  if (device < 0 || device >= count_) return cudaErrorInvalidDevice;
  current_device = device;
  return cudaSuccess;
}

CUstream_st* Devices::stream(cudaStream_t handle) {
  return is_default(handle) ? defaults_[static_cast<std::size_t>(current_device)].get() : handle;
}

CUstream_st* Devices::create_stream(bool blocking) {
  auto* stream = new CUstream_st{
      .device = current_device, .blocking = blocking, .actor = order_.add_actor(), .capture = {}};
  streams_.insert(stream);
  return stream;
}

cudaError_t Devices::destroy_stream(cudaStream_t handle) {
  if (streams_.erase(handle) == 0) return cudaErrorInvalidResourceHandle;
  join(destroyed_, order_.clock_of(handle->actor));
  delete handle;
  return cudaSuccess;
}

cudaError_t Devices::queue(cudaStream_t handle, Work work) {
  if (!breaks_at_.empty() && work.kind == breaks_at_) broken_ = true;
  if (broken_) return kBroken;
  CUstream_st& stream = *this->stream(handle);
  if (stream.device != current_device) {
    Ledger::get().fault(work.name + " is queued on a stream of device " +
                        std::to_string(stream.device) + " while device " +
                        std::to_string(current_device) + " is current");
    return cudaErrorInvalidResourceHandle;
  }
  if (stream.capture) {
    if (stream.capture->invalid) return cudaErrorStreamCaptureInvalidated;
    stream.capture->works.push_back(std::move(work));
    return cudaSuccess;
  }
  if (const cudaError_t error = refuse_beside_blocking(stream, work.name.c_str());
      error != cudaSuccess) {
    return error;
  }
  Ledger::get().count("launches");
  run(stream, work);
  return cudaSuccess;
}

/// Note [The default stream]: what is queued on it waits for all blocking streams of its device,
/// and they for it. LibTorch's own streams are not blocking.
void Devices::advance(CUstream_st& stream) {
  if (stream.blocking) {
    if (stream.is_default) {
      for (const CUstream_st* other : streams_) {
        if (other->blocking && other->device == stream.device) {
          order_.wait(stream.actor, order_.clock_of(other->actor));
        }
      }
    } else {
      const CUstream_st& other = *defaults_[static_cast<std::size_t>(stream.device)];
      order_.wait(stream.actor, order_.clock_of(other.actor));
    }
  }
  order_.submit(stream.actor);
  stream.news = true;
}

void Devices::run(CUstream_st& stream, const Work& work) {
  advance(stream);
  Ledger::get().work(work.kind, work.name);
  use(stream, work);
  if (work.effect) work.effect();
}

void Devices::use(CUstream_st& stream, const Work& work) {
  for (const MemoryUse& used : work.uses) {
    const std::size_t bytes = std::max<std::size_t>(used.bytes, 1);
    const auto device = Memory::device_of(used.pointer);
    if (device && !memory.is_allocated(used.pointer, bytes)) {
      Ledger::get().fault(work.name + " uses memory of device " + std::to_string(*device) +
                          " that is not allocated, or more than is");
      continue;
    }
    if (!orders_) continue;
    const auto conflict =
        order_.use(stream.actor, range_of(used.pointer, bytes),
                   used.bytes == 0 ? Use::kUnknown : used.how, work.name, thread_number());
    if (conflict) Ledger::get().fault(*conflict);
  }
}

cudaError_t Devices::copy(void* to, const void* from, std::size_t bytes, cudaStream_t handle,
                          bool host_waits) {
  if (bytes == 0) return cudaSuccess;
  const bool up = !Memory::device_of(from);
  const bool down = !Memory::device_of(to);
  const void* host = up ? from : down ? to : nullptr;
  const bool pinned = host && memory.is_pinned(host);
  const char* way = up && down ? "host to host" : up ? "upload" : down ? "download" : "copy";
  // A copy from or to pageable memory lasts as long as the call, asynchronous or not.
  const bool blocks = host_waits || (host && !pinned);
  CUstream_st& on = *stream(handle);
  if (on.capture && blocks) {
    return broken(*on.capture, "a copy that blocks the host", cudaErrorStreamCaptureUnsupported);
  }
  Work work{.kind = "copy", .name = way, .uses = {}, .effect = {}};
  if (down) {
    work.effect = [to, from, bytes, up] {
      up ? static_cast<void>(std::memmove(to, from, bytes)) : download(to, bytes);
    };
  }
  // Of host memory only what is pinned lives longer than the call.
  if (!up || pinned) work.uses.push_back({from, bytes, Use::kRead});
  if (!down || pinned) work.uses.push_back({to, bytes, Use::kWrite});
  const bool captured = on.capture != nullptr;
  if (pinned) check_uploads(false);
  if (const cudaError_t error = queue(handle, std::move(work)); error != cudaSuccess) return error;
  Ledger& ledger = Ledger::get();
  ledger.count(up ? "uploads" : down ? "downloads" : "copies between devices");
  if (host) ledger.count(pinned ? "pinned transfers" : "pageable transfers");
  if (host && blocks) ledger.count("blocking transfers");
  if (blocks) {
    count_wait("copy");
    order_.host_knows(order_.clock_of(on.actor));
    check_uploads(false);
  } else if (up && !captured) {
    watch_upload(on, from, bytes);
  }
  return cudaSuccess;
}

void Devices::watch_upload(CUstream_st& stream, const void* from, std::size_t bytes) {
  if (!orders_) return;
  const Range source = range_of(from, bytes);
  uploads_.push_back({source, sum_of(source), stream.actor, order_.time_of(stream.actor)});
}

/// Whatever an upload reads must be what it was when the upload was queued, until the host knows
/// that it is done.
void Devices::check_uploads(bool all) {
  for (auto it = uploads_.begin(); it != uploads_.end();) {
    if (!it->told && memory.is_pinned(reinterpret_cast<void*>(it->source.begin)) &&
        sum_of(it->source) != it->sum) {
      it->told = true;
      Ledger::get().fault("pinned memory was written to while an upload from it was under way");
    }
    const bool done = order_.is_done_for_host(it->stream, it->time);
    it = done || all ? uploads_.erase(it) : std::next(it);
  }
}

cudaError_t Devices::free(void* pointer) {
  const std::optional<Range> range = memory.release(pointer);
  if (!range) {
    Ledger::get().fault("memory is freed that is not allocated");
    return cudaErrorInvalidValue;
  }
  order_.forget(*range);
  return cudaSuccess;
}

cudaError_t Devices::free_pinned(void* pointer) {
  check_uploads(false);
  const std::optional<Range> range = memory.unpin(pointer);
  if (!range) return cudaErrorInvalidValue;
  if (const auto user = order_.in_use(*range)) {
    Ledger::get().fault("pinned memory is freed while it is in use: " + *user);
  }
  order_.forget(*range);
  return cudaSuccess;
}

Clock Devices::device_clock() const {
  Clock end = destroyed_;
  for (const auto& stream : defaults_) {
    if (stream->device == current_device) join(end, order_.clock_of(stream->actor));
  }
  for (const CUstream_st* stream : streams_) {
    if (stream->device == current_device) join(end, order_.clock_of(stream->actor));
  }
  return end;
}

cudaError_t Devices::record(cudaEvent_t event, cudaStream_t handle) {
  if (broken_) return kBroken;
  CUstream_st& on = *stream(handle);
  if (const cudaError_t error = refuse_beside_blocking(on, "cudaEventRecord");
      error != cudaSuccess) {
    return error;
  }
  Ledger::get().count("event records");
  event->capture = on.capture;
  event->captured_on = on.capture ? handle : nullptr;
  event->clock = order_.clock_of(on.actor);
  event->recorded = true;
  event->news = true;
  return cudaSuccess;
}

cudaError_t Devices::wait(cudaStream_t handle, cudaEvent_t event) {
  CUstream_st& on = *stream(handle);
  if (const cudaError_t error = refuse_beside_blocking(on, "cudaStreamWaitEvent");
      error != cudaSuccess) {
    return error;
  }
  Ledger::get().count("event waits");
  if (event->capture) {
    if (!on.capture) {
      on.capture = event->capture;
      on.capture->unjoined.insert(handle);
    } else if (on.capture != event->capture) {
      return broken(*on.capture, "waiting for another capture", cudaErrorStreamCaptureMerge);
    }
    on.capture->unjoined.erase(event->captured_on);
    return cudaSuccess;
  }
  if (on.capture && event->recorded) {
    return broken(*on.capture, "waiting for an event from outside",
                  cudaErrorStreamCaptureIsolation);
  }
  if (event->recorded) order_.wait(on.actor, event->clock);
  return cudaSuccess;
}

cudaError_t Devices::synchronize(const Clock& clock, const char* what) {
  if (broken_) return kBroken;
  Ledger::get().count("synchronizations");
  Ledger::get().count(std::string("synchronizations: ") + what);
  if (!order_.is_known(clock)) count_wait(what);
  order_.host_knows(clock);
  check_uploads(false);
  return cudaSuccess;
}

cudaError_t Devices::query(bool& news, const Clock& clock, const char* what) {
  if (broken_) return kBroken;
  Ledger::get().count(std::string("queries: ") + what);
  if (std::exchange(news, false) && !order_.is_known(clock)) return cudaErrorNotReady;
  order_.host_knows(clock);
  check_uploads(false);
  return cudaSuccess;
}

/// In any mode: what is captured on the device is among what would be waited for.
cudaError_t Devices::synchronize_device() {
  for (const auto& capture : captures_) {
    if (capture->origin->device != current_device) continue;
    return broken(*capture, "cudaDeviceSynchronize", cudaErrorStreamCaptureUnsupported);
  }
  return synchronize(device_clock(), "device");
}

cudaError_t Devices::synchronize_stream(cudaStream_t handle) {
  CUstream_st& on = *stream(handle);
  on.news = false;
  return synchronize(order_.clock_of(on.actor), "stream");
}

cudaError_t Devices::query_stream(cudaStream_t handle) {
  CUstream_st& on = *stream(handle);
  return query(on.news, order_.clock_of(on.actor), "stream");
}

}  // namespace null_gpu
