// Faults planted by hand, each of which the null GPU must find; and beside each its right
// counterpart, in which it must find nothing. What breaks a capture: capture_test.cpp.

#include <cuda_runtime_api.h>
#include <gmock/gmock.h>
#include <nccl.h>

#include <cstdlib>
#include <cstring>
#include <vector>

#include "tests/null_gpu/ledger.h"
#include "tests/null_gpu/null_gpu_fixture.h"

extern "C" void __cudaRegisterFunction(void**, const char*, char*, const char*, int, uint3*, uint3*,
                                       dim3*, dim3*, int*);

namespace null_gpu {
namespace {

using testing::Contains;
using testing::HasSubstr;
using testing::IsEmpty;

// Before the first call makes the devices.
const int several_devices = setenv("NULL_GPU_DEVICES", "2", 1);

/// `void taking_one(char*)`: after its argument the stack holds what other calls have left there.
int taking_one = 0;
cudaError_t launch_beside_a_leftover(void* pointer, void* leftover, cudaStream_t stream) {
  void* arguments[] = {&pointer, &leftover, nullptr};
  return cudaLaunchKernel(&taking_one, {}, {}, arguments, 0, stream);
}

using NullGpuDeath = NullGpu;

TEST_F(NullGpuDeath, HostReadsDeviceMemory) {
  testing::FLAGS_gtest_death_test_style = "threadsafe";
  EXPECT_EXIT(std::printf("%d", *static_cast<volatile char*>(memory_)),
              testing::ExitedWithCode(128 + SIGSEGV), "the host touches memory of device 0");
}

TEST_F(NullGpu, WhatIsCopiedFromADeviceIsZero) {
  cudaMemcpy(memory_, pinned_, kBytes, cudaMemcpyDefault);
  cudaMemcpy(pinned_, memory_, kBytes, cudaMemcpyDefault);
  EXPECT_EQ(static_cast<char*>(pinned_)[kBytes - 1], 0);
  EXPECT_THAT(faults(), IsEmpty());
}

TEST_F(NullGpu, MissingEventBetweenKernelAndCollective) {
  ncclUniqueId id;
  ncclComm_t comm = nullptr;
  ncclGetUniqueId(&id);
  ncclCommInitRank(&comm, 1, id, 0);
  launch(static_cast<char*>(memory_) + 64, first_);
  second_follows_first();
  ncclAllReduce(memory_, memory_, kBytes / 4, ncclFloat, ncclSum, comm, second_);
  EXPECT_THAT(faults(), IsEmpty());
  launch(static_cast<char*>(memory_) + 64, first_);  // does not wait for the sum
  EXPECT_THAT(faults(), Contains(HasSubstr("does not wait for all-reduce")));
  Ledger::get().clear();
  ncclAllReduce(memory_, memory_, kBytes / 4, ncclFloat, ncclSum, comm, second_);
  EXPECT_THAT(faults(), Contains(HasSubstr("all-reduce on stream")));
  ncclCommDestroy(comm);
}

TEST_F(NullGpu, WhatLiesBehindTheArgumentsIsNone) {
  __cudaRegisterFunction(nullptr, reinterpret_cast<const char*>(&taking_one), nullptr,
                         "_Z10taking_onePc", 0, nullptr, nullptr, nullptr, nullptr, nullptr);
  char* const memory = static_cast<char*>(memory_);
  cudaMemsetAsync(memory, 0, kBytes / 2, first_);
  launch_beside_a_leftover(memory + kBytes / 2, memory, second_);
  EXPECT_THAT(faults(), IsEmpty());
  launch_beside_a_leftover(memory, memory, second_);
  EXPECT_THAT(faults(), Contains(HasSubstr("taking_one(char*) on stream")));
}

TEST_F(NullGpu, MissingEventBetweenCopies) {
  cudaMemsetAsync(memory_, 0, kBytes, first_);
  second_follows_first();
  cudaMemcpyAsync(pinned_, memory_, kBytes, cudaMemcpyDefault, second_);
  EXPECT_THAT(faults(), IsEmpty());
  cudaMemsetAsync(memory_, 0, kBytes, first_);  // while it is read
  EXPECT_THAT(faults(), Contains(HasSubstr("memset on stream")));
}

TEST_F(NullGpu, TheDefaultStreamWaitsForBlockingStreams) {
  cudaStream_t blocking = nullptr;
  cudaStreamCreate(&blocking);
  cudaMemsetAsync(memory_, 0, kBytes, blocking);
  cudaMemsetAsync(memory_, 0, kBytes, nullptr);
  cudaMemsetAsync(memory_, 0, kBytes, blocking);
  EXPECT_THAT(faults(), IsEmpty());
  cudaMemsetAsync(memory_, 0, kBytes, first_);  // which is not blocking
  EXPECT_THAT(faults(), Contains(HasSubstr("does not wait for memset")));
  cudaStreamDestroy(blocking);
}

TEST_F(NullGpu, PinnedMemoryReusedWhileItIsCopied) {
  cudaMemcpyAsync(memory_, pinned_, kBytes, cudaMemcpyDefault, first_);
  cudaStreamSynchronize(first_);
  std::memset(pinned_, 2, kBytes);
  cudaMemcpyAsync(memory_, pinned_, kBytes, cudaMemcpyDefault, first_);
  EXPECT_THAT(faults(), IsEmpty());
  std::memset(pinned_, 3, kBytes);
  cudaStreamSynchronize(first_);
  EXPECT_THAT(faults(), Contains(HasSubstr("pinned memory was written to")));
}

TEST_F(NullGpu, PinnedMemoryFreedWhileItIsCopied) {
  void* other = nullptr;
  cudaHostAlloc(&other, kBytes, 0);
  std::memset(other, 0, kBytes);
  cudaMemcpyAsync(memory_, other, kBytes, cudaMemcpyDefault, first_);
  cudaFreeHost(other);
  EXPECT_THAT(faults(), Contains(HasSubstr("pinned memory is freed while it is in use")));
}

TEST_F(NullGpu, DeviceMemoryUsedAfterItIsFreed) {
  void* other = nullptr;
  cudaMalloc(&other, kBytes);
  cudaMemsetAsync(other, 0, kBytes, first_);
  cudaFree(other);
  EXPECT_THAT(faults(), IsEmpty());
  cudaMemsetAsync(other, 0, kBytes, first_);
  EXPECT_THAT(faults(), Contains(HasSubstr("not allocated")));
}

TEST_F(NullGpu, DeviceMemoryReusedWhileAnotherStreamUsesIt) {
  // As a caching allocator hands out a block again that a second stream was given without its word.
  cudaMemcpyAsync(pinned_, memory_, kBytes, cudaMemcpyDefault, second_);
  launch(memory_, first_);  // may be a read
  EXPECT_THAT(faults(), IsEmpty());
  cudaMemsetAsync(memory_, 0, 256, first_);
  EXPECT_THAT(faults(), Contains(HasSubstr("does not wait for download")));
}

TEST_F(NullGpu, BlockingUploads) {
  std::vector<char> pageable(kBytes);
  cudaMemcpyAsync(memory_, pinned_, kBytes, cudaMemcpyDefault, first_);
  EXPECT_EQ(count("blocking transfers"), 0);
  cudaMemcpyAsync(memory_, pageable.data(), kBytes, cudaMemcpyDefault, first_);
  EXPECT_EQ(count("blocking transfers"), 1);
  EXPECT_EQ(count("uploads"), 2);
  EXPECT_EQ(count("pageable transfers"), 1);
}

TEST_F(NullGpu, Synchronizations) {
  cudaStreamSynchronize(first_);
  cudaEventRecord(event_, first_);
  cudaEventSynchronize(event_);
  cudaDeviceSynchronize();
  EXPECT_EQ(count("synchronizations"), 3);
}

TEST_F(NullGpu, WhatHasPassedIsNotWaitedFor) {
  launch(memory_, first_);
  cudaEventRecord(event_, first_);
  cudaEventSynchronize(event_);
  EXPECT_EQ(count("waits: event"), 1);
  cudaEventSynchronize(event_);
  cudaStreamSynchronize(first_);
  launch(memory_, first_);
  cudaEventRecord(event_, first_);
  EXPECT_EQ(cudaEventQuery(event_), cudaErrorNotReady);
  EXPECT_EQ(cudaEventQuery(event_), cudaSuccess);
  cudaEventSynchronize(event_);
  EXPECT_EQ(count("waits"), 1);
  EXPECT_EQ(count("synchronizations"), 4);
  std::vector<char> pageable(kBytes);
  cudaMemcpyAsync(pageable.data(), memory_, kBytes, cudaMemcpyDefault, first_);
  EXPECT_EQ(count("waits: copy"), 1);
}

TEST_F(NullGpu, AnEventIsNotReadyAtOnce) {
  launch(memory_, first_);
  cudaEventRecord(event_, first_);
  EXPECT_EQ(cudaEventQuery(event_), cudaErrorNotReady);
  EXPECT_EQ(cudaEventQuery(event_), cudaSuccess);
  cudaEventRecord(event_, first_);
  cudaStreamSynchronize(first_);
  EXPECT_EQ(cudaEventQuery(event_), cudaSuccess);
}

TEST_F(NullGpu, EachDeviceHasItsOwnStreamsAndMemory) {
  int devices = 0;
  cudaGetDeviceCount(&devices);
  ASSERT_EQ(devices, 2);
  cudaSetDevice(1);
  EXPECT_EQ(launch(memory_, first_), cudaErrorInvalidResourceHandle);
  EXPECT_THAT(faults(), Contains(HasSubstr("while device 1 is current")));
  void* other = nullptr;
  cudaMalloc(&other, kBytes);
  cudaPointerAttributes attributes;
  cudaPointerGetAttributes(&attributes, other);
  EXPECT_EQ(attributes.device, 1);
  cudaFree(other);
  EXPECT_EQ(cudaSetDevice(2), cudaErrorInvalidDevice);
  cudaSetDevice(0);
}

TEST_F(NullGpu, NcclIsInProgress) {
  ncclUniqueId id;
  ncclComm_t comm = nullptr;
  ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
  config.blocking = 0;
  ncclResult_t state = ncclSuccess;
  ncclGetUniqueId(&id);
  EXPECT_EQ(ncclCommInitRankConfig(&comm, 1, id, 0, &config), ncclInProgress);
  EXPECT_EQ(ncclAllReduce(memory_, memory_, 1, ncclFloat, ncclSum, comm, first_), ncclInvalidUsage);
  EXPECT_THAT(faults(), Contains(HasSubstr("while another call is in progress")));
  ncclCommGetAsyncError(comm, &state);
  EXPECT_EQ(state, ncclInProgress);
  ncclCommGetAsyncError(comm, &state);
  EXPECT_EQ(state, ncclSuccess);
  EXPECT_EQ(ncclAllReduce(memory_, memory_, 1, ncclFloat, ncclSum, comm, first_), ncclInProgress);
  ncclCommAbort(comm);
}

TEST_F(NullGpu, TwoRanksOnOneDeviceAreRefused) {
  ncclUniqueId id;
  ncclComm_t comms[3] = {};
  ncclGetUniqueId(&id);
  EXPECT_EQ(ncclCommInitRank(&comms[0], 3, id, 0), ncclSuccess);
  EXPECT_EQ(ncclCommInitRank(&comms[1], 3, id, 1), ncclInvalidUsage);
  EXPECT_THAT(faults(), Contains(HasSubstr("two ranks on device 0")));
  cudaSetDevice(1);
  EXPECT_EQ(ncclCommInitRank(&comms[2], 3, id, 2), ncclSuccess);
  cudaSetDevice(0);
  for (const ncclComm_t comm : comms) ncclCommDestroy(comm);
}

}  // namespace
}  // namespace null_gpu
