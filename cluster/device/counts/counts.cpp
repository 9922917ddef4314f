// Counts what a process asks of the GPU's driver, whoever asks within it: launches, copies, waits.
//
// Two ways in. A program that knows of nothing: CUDA_INJECTION64_PATH names this library, and the
// driver calls InitializeInjection; at the process's end the counts go to the file that
// THAW_DEVICE_COUNTS names. A program that counts a part of what it does: thaw_counts_start, _stop
// and _read. CUPTI, which comes with LibTorch's wheels for CUDA, is looked for when counting
// starts.

#include <cupti.h>
#include <dlfcn.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string_view>

namespace {

enum Kind {
  kLaunches,
  kGraphLaunches,
  kCopies,
  kBlockingCopies,
  kFills,
  kWaits,
  kAllocations,
  kKinds
};
constexpr std::array<const char*, kKinds> kNames = {
    "launches", "graph launches",   "copies",     "blocking copies",
    "fills",    "synchronizations", "allocations"};
constexpr std::size_t kMostCalls = 4096;

std::array<std::atomic<std::uint64_t>, kKinds> counts;
std::array<std::int8_t, kMostCalls>
    kind_of_call;  // of the driver, by CUPTI's number; -1: not counted
CUpti_SubscriberHandle subscriber = nullptr;
bool counting = false;

struct Cupti {
  decltype(&cuptiSubscribe) subscribe;
  decltype(&cuptiUnsubscribe) unsubscribe;
  decltype(&cuptiEnableDomain) enable_domain;
  decltype(&cuptiGetCallbackName) callback_name;
} cupti;

bool starts(std::string_view name, std::string_view with) {
  return name.substr(0, with.size()) == with;
}
bool has(std::string_view name, std::string_view what) { return name.find(what) != name.npos; }

/// Of a driver call; -1 where it is none of them.
int kind_of(std::string_view name) {
  if (starts(name, "cuGraphLaunch")) return kGraphLaunches;
  if (starts(name, "cuLaunch")) return has(name, "HostFunc") ? -1 : kLaunches;
  if (starts(name, "cuMemcpy")) return has(name, "Async") ? kCopies : kBlockingCopies;
  if (starts(name, "cuMemset")) return kFills;
  if (has(name, "Synchronize")) return kWaits;
  if (starts(name, "cuMemAlloc") || starts(name, "cuMemHostAlloc") || starts(name, "cuMemCreate")) {
    return kAllocations;
  }
  return -1;
}

void CUPTIAPI called(void*, CUpti_CallbackDomain domain, CUpti_CallbackId id, const void* data) {
  if (domain != CUPTI_CB_DOMAIN_DRIVER_API || id >= kMostCalls) return;
  if (static_cast<const CUpti_CallbackData*>(data)->callbackSite != CUPTI_API_ENTER) return;
  if (kind_of_call[id] >= 0) counts[static_cast<std::size_t>(kind_of_call[id])]++;
}

template <typename Function>
bool find(void* library, const char* name, Function& function) {
  function = reinterpret_cast<Function>(dlsym(library, name));
  return function != nullptr;
}

bool load() {
  void* library = dlopen("libcupti.so.13", RTLD_NOW | RTLD_GLOBAL);
  if (library == nullptr && std::getenv("THAW_DEVICE_CUPTI") != nullptr) {
    library = dlopen(std::getenv("THAW_DEVICE_CUPTI"), RTLD_NOW | RTLD_GLOBAL);
  }
  return library != nullptr && find(library, "cuptiSubscribe", cupti.subscribe) &&
         find(library, "cuptiUnsubscribe", cupti.unsubscribe) &&
         find(library, "cuptiEnableDomain", cupti.enable_domain) &&
         find(library, "cuptiGetCallbackName", cupti.callback_name);
}

void write_counts() {
  const char* path = std::getenv("THAW_DEVICE_COUNTS");
  std::FILE* file = path != nullptr ? std::fopen(path, "w") : nullptr;
  if (file == nullptr) return;
  for (std::size_t i = 0; i < kKinds; ++i) {
    std::fprintf(file, "%s%s\"%s\": %llu", i == 0 ? "{" : "", i == 0 ? "" : ", ", kNames[i],
                 static_cast<unsigned long long>(counts[i]));
  }
  std::fprintf(file, "}\n");
  std::fclose(file);
}

}  // namespace

extern "C" {

/// From now on calls are counted, from 0. Returns 0, or CUPTI's reason, or -1 where CUPTI is not
/// found.
int thaw_counts_start() {
  if (counting) return 0;
  if (cupti.subscribe == nullptr && !load()) return -1;
  for (std::uint32_t id = 0; id < kMostCalls; ++id) {
    const char* name = nullptr;
    const bool known = cupti.callback_name(CUPTI_CB_DOMAIN_DRIVER_API, id, &name) == CUPTI_SUCCESS;
    kind_of_call[id] = static_cast<std::int8_t>(known && name != nullptr ? kind_of(name) : -1);
  }
  for (auto& count : counts) count = 0;
  CUptiResult result = cupti.subscribe(&subscriber, called, nullptr);
  if (result == CUPTI_SUCCESS) {
    result = cupti.enable_domain(1, subscriber, CUPTI_CB_DOMAIN_DRIVER_API);
  }
  counting = result == CUPTI_SUCCESS;
  return counting ? 0 : static_cast<int>(result);
}

void thaw_counts_stop() {
  if (counting) cupti.unsubscribe(subscriber);
  counting = false;
}

/// The name of a count and its value; null past the last.
const char* thaw_counts_read(unsigned index, std::uint64_t* value) {
  if (index >= kKinds) return nullptr;
  *value = counts[index];
  return kNames[index];
}

int InitializeInjection() {
  if (const int result = thaw_counts_start(); result != 0) {
    std::fprintf(stderr, "nothing is counted: CUPTI answers %d\n", result);
  } else {
    std::atexit(write_counts);
  }
  return 1;  // the program goes on, counted or not
}
}
