#pragma once

#include <cuda_runtime_api.h>
#include <gtest/gtest.h>

#include <cstddef>
#include <cstring>
#include <string>
#include <vector>

#include "tests/null_gpu/ledger.h"

namespace null_gpu {

constexpr std::size_t kBytes = 1 << 16;

inline int kernel_of_nothing = 0;  ///< its address stands for a kernel's

/// As nvcc's own function for a launch does it.
inline cudaError_t launch(void* pointer, cudaStream_t stream) {
  void* arguments[] = {&pointer, nullptr};
  return cudaLaunchKernel(&kernel_of_nothing, {}, {}, arguments, 0, stream);
}

/// Two streams, memory on the device and pinned, an event; nothing said of them yet.
class NullGpu : public testing::Test {
 protected:
  void SetUp() override {
    for (cudaStream_t* stream : {&first_, &second_}) {
      cudaStreamCreateWithFlags(stream, cudaStreamNonBlocking);
    }
    cudaMalloc(&memory_, kBytes);
    cudaHostAlloc(&pinned_, kBytes, 0);
    std::memset(pinned_, 1, kBytes);
    cudaEventCreateWithFlags(&event_, cudaEventDisableTiming);
    Ledger::get().clear();
  }
  void TearDown() override {
    cudaDeviceSynchronize();
    cudaEventDestroy(event_);
    cudaFreeHost(pinned_);
    cudaFree(memory_);
    for (const cudaStream_t stream : {first_, second_}) cudaStreamDestroy(stream);
    cudaGetLastError();
  }

  void second_follows_first() {
    cudaEventRecord(event_, first_);
    cudaStreamWaitEvent(second_, event_, 0);
  }
  static std::vector<std::string> faults() { return Ledger::get().faults(); }
  static long count(const char* what) { return Ledger::get().value(what); }

  cudaStream_t first_ = nullptr;
  cudaStream_t second_ = nullptr;
  void* memory_ = nullptr;
  void* pinned_ = nullptr;
  cudaEvent_t event_ = nullptr;
};

}  // namespace null_gpu
