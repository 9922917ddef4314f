// NCCL: collectives are noted in their order and move nothing.
//
// Note [Non-blocking, as it is]: a communicator that is not blocking answers ncclInProgress to each
// call and, asked what became of it, once more; no other call may be made on it before that is
// over. NULL_GPU_NCCL=at-once answers ncclSuccess.

#include <fcntl.h>
#include <nccl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>
#include <string_view>

#include "tests/null_gpu/ledger.h"
#include "tests/null_gpu/libraries.h"

struct ncclComm {
  int ranks = 1;
  int rank = 0;
  int device = 0;
  bool blocking = true;
  int polls = 0;  ///< how often it is still to be told that a call is in progress
  ncclResult_t outcome = ncclSuccess;
};

using null_gpu::Devices;
using null_gpu::Ledger;
using null_gpu::reads;
using null_gpu::writes;

namespace {

thread_local int groups = 0;

ncclResult_t begun(ncclComm_t comm) {
  const char* text = std::getenv("NULL_GPU_NCCL");
  if (comm->blocking || (text && std::string_view(text) == "at-once")) return ncclSuccess;
  comm->polls = 2;
  return ncclInProgress;
}

std::size_t bytes_of(ncclDataType_t type) {
  switch (type) {
    case ncclInt8:
    case ncclUint8:
      return 1;
    case ncclFloat16:
    case ncclBfloat16:
      return 2;
    case ncclInt64:
    case ncclUint64:
    case ncclFloat64:
      return 8;
    default:
      return 4;
  }
}

ncclResult_t collective(const std::string& what, ncclComm_t comm, cudaStream_t stream,
                        ncclDataType_t type, std::size_t count,
                        std::vector<null_gpu::MemoryUse> uses) {
  if (!comm) return ncclInvalidArgument;
  const auto lock = Devices::get().lock();
  if (comm->polls > 0 && groups == 0) {
    Ledger::get().fault("NCCL: " + what + " while another call is in progress on its communicator");
    return ncclInvalidUsage;
  }
  if (Devices::get().current() != comm->device) {
    Ledger::get().fault("NCCL: " + what + " of device " + std::to_string(comm->device) +
                        " while another one is current");
    return ncclInvalidUsage;
  }
  for (const null_gpu::MemoryUse& use : uses) {
    if (null_gpu::Memory::device_of(use.pointer) != comm->device) {
      Ledger::get().fault("NCCL: " + what + " of memory that is not on the communicator's device");
      return ncclInvalidArgument;
    }
  }
  Ledger::get().collective(what + " " + std::to_string(count) + " of type " + std::to_string(type) +
                           " by " + std::to_string(comm->ranks));
  const cudaError_t error = null_gpu::queue_work(stream, "collective", what, std::move(uses));
  if (error != cudaSuccess) return ncclUnhandledCudaError;
  return begun(comm);
}

/// Note [A device a rank]: the id names a file in shared memory, in which each rank of a
/// communicator takes its device. Two on the same one is the mistake that NCCL before 2.30 refuses,
/// unless they say that their hosts differ (NCCL_HOSTID). The last to come removes the file.
bool takes_device(const char* id, int ranks, int device) {
  constexpr std::size_t kSlots = null_gpu::kMostDevices + 1;
  const int file = shm_open(id, O_RDWR | O_CREAT, 0600);
  if (file < 0 || ftruncate(file, kSlots * sizeof(std::atomic<int>)) != 0) return false;
  void* shared =
      mmap(nullptr, kSlots * sizeof(std::atomic<int>), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  close(file);
  if (shared == MAP_FAILED) return false;
  auto* slots = static_cast<std::atomic<int>*>(shared);
  const bool alone = slots[device].exchange(1) == 0 || std::getenv("NCCL_HOSTID") != nullptr;
  if (++slots[kSlots - 1] == ranks) shm_unlink(id);
  munmap(shared, kSlots * sizeof(std::atomic<int>));
  return alone;
}

}  // namespace

extern "C" {

ncclResult_t ncclGetVersion(int* version) {
  *version = 22809;
  return ncclSuccess;
}
ncclResult_t ncclGetUniqueId(ncclUniqueId* id) {
  std::memset(id, 0, sizeof *id);
  std::snprintf(id->internal, sizeof id->internal, "/null-gpu-%d-%u", getpid(),
                std::random_device{}());
  return ncclSuccess;
}
ncclResult_t ncclCommInitRankConfig(ncclComm_t* comm, int ranks, ncclUniqueId id, int rank,
                                    ncclConfig_t* config) {
  const auto lock = Devices::get().lock();
  const int device = Devices::get().current();
  *comm = new ncclComm{
      .ranks = ranks, .rank = rank, .device = device, .blocking = !config || config->blocking != 0};
  Ledger::get().count("communicators");
  if (!takes_device(id.internal, ranks, device)) {
    Ledger::get().fault("NCCL: two ranks on device " + std::to_string(device));
    (*comm)->outcome = ncclInvalidUsage;
    return ncclInvalidUsage;
  }
  return begun(*comm);
}
ncclResult_t ncclCommInitRank(ncclComm_t* comm, int ranks, ncclUniqueId id, int rank) {
  return ncclCommInitRankConfig(comm, ranks, id, rank, nullptr);
}
ncclResult_t ncclCommGetAsyncError(ncclComm_t comm, ncclResult_t* result) {
  const auto lock = Devices::get().lock();
  *result = comm->outcome;
  if (comm->polls > 0 && --comm->polls > 0) *result = ncclInProgress;
  return ncclSuccess;
}
const char* ncclGetLastError(ncclComm_t) { return ""; }
const char* ncclGetErrorString(ncclResult_t) { return "error of the null GPU's NCCL"; }
ncclResult_t ncclCommCount(ncclComm_t comm, int* count) {
  *count = comm->ranks;
  return ncclSuccess;
}
ncclResult_t ncclCommUserRank(ncclComm_t comm, int* rank) {
  *rank = comm->rank;
  return ncclSuccess;
}
ncclResult_t ncclCommCuDevice(ncclComm_t comm, int* device) {
  *device = comm->device;
  return ncclSuccess;
}
ncclResult_t ncclCommFinalize(ncclComm_t comm) {
  const auto lock = Devices::get().lock();
  return begun(comm);
}
ncclResult_t ncclCommDestroy(ncclComm_t comm) {
  delete comm;
  return ncclSuccess;
}
ncclResult_t ncclCommAbort(ncclComm_t comm) {
  Ledger::get().count("communicators aborted");
  delete comm;
  return ncclSuccess;
}
ncclResult_t ncclGroupStart() {
  ++groups;
  return ncclSuccess;
}
ncclResult_t ncclGroupEnd() {
  --groups;
  return ncclSuccess;
}

ncclResult_t ncclAllReduce(const void* from, void* to, std::size_t count, ncclDataType_t type,
                           ncclRedOp_t, ncclComm_t comm, cudaStream_t stream) {
  const std::size_t bytes = count * bytes_of(type);
  return collective("all-reduce", comm, stream, type, count,
                    {reads(from, bytes), writes(to, bytes)});
}
ncclResult_t ncclBroadcast(const void* from, void* to, std::size_t count, ncclDataType_t type, int,
                           ncclComm_t comm, cudaStream_t stream) {
  const std::size_t bytes = count * bytes_of(type);
  return collective("broadcast", comm, stream, type, count,
                    {reads(from, bytes), writes(to, bytes)});
}
ncclResult_t ncclReduce(const void* from, void* to, std::size_t count, ncclDataType_t type,
                        ncclRedOp_t, int, ncclComm_t comm, cudaStream_t stream) {
  const std::size_t bytes = count * bytes_of(type);
  return collective("reduce", comm, stream, type, count, {reads(from, bytes), writes(to, bytes)});
}
ncclResult_t ncclAllGather(const void* from, void* to, std::size_t count, ncclDataType_t type,
                           ncclComm_t comm, cudaStream_t stream) {
  const std::size_t bytes = count * bytes_of(type);
  return collective(
      "all-gather", comm, stream, type, count,
      {reads(from, bytes), writes(to, bytes * static_cast<std::size_t>(comm->ranks))});
}
ncclResult_t ncclReduceScatter(const void* from, void* to, std::size_t count, ncclDataType_t type,
                               ncclRedOp_t, ncclComm_t comm, cudaStream_t stream) {
  const std::size_t bytes = count * bytes_of(type);
  return collective(
      "reduce-scatter", comm, stream, type, count,
      {reads(from, bytes * static_cast<std::size_t>(comm->ranks)), writes(to, bytes)});
}

}  // extern "C"
