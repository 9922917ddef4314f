#include <c10/cuda/CUDAGuard.h>
#include <nccl.h>

#include <algorithm>

#include "dist/communicator/nccl/nccl_api.h"

namespace thaw {

namespace {

static_assert(NCCL_VERSION_CODE >= NCCL_VERSION(2, 18, 0), "NCCL 2.18 or newer is needed");
static_assert(sizeof(NcclId) == NCCL_UNIQUE_ID_BYTES);

NcclStatus status_of(ncclResult_t result) {
  switch (result) {
    case ncclSuccess:
      return NcclStatus::kSuccess;
    case ncclInProgress:
      return NcclStatus::kInProgress;
    case ncclUnhandledCudaError:
      return NcclStatus::kCudaError;
    case ncclSystemError:
      return NcclStatus::kSystemError;
    case ncclInternalError:
      return NcclStatus::kInternalError;
    case ncclInvalidArgument:
      return NcclStatus::kInvalidArgument;
    case ncclInvalidUsage:
      return NcclStatus::kInvalidUsage;
    case ncclRemoteError:
      return NcclStatus::kRemoteError;
    default:
      return NcclStatus::kUnknown;
  }
}

ncclDataType_t type_of(NcclType type) {
  switch (type) {
    case NcclType::kFloat32:
      return ncclFloat32;
    case NcclType::kFloat64:
      return ncclFloat64;
    case NcclType::kBFloat16:
      return ncclBfloat16;
    case NcclType::kInt64:
      return ncclInt64;
    case NcclType::kByte:
      break;
  }
  return ncclUint8;
}

class Nccl final : public NcclApi {
 public:
  explicit Nccl(int gpu) : gpu_(static_cast<c10::DeviceIndex>(gpu)) {}

  int version() override {
    int version = 0;
    return ncclGetVersion(&version) == ncclSuccess ? version : 0;
  }

  NcclStatus make_id(NcclId& id) override {
    ncclUniqueId made;
    const NcclStatus status = status_of(ncclGetUniqueId(&made));
    std::copy(std::begin(made.internal), std::end(made.internal), id.begin());
    return status;
  }

  NcclStatus init(ncclComm*& comm, int ranks, const NcclId& id, int rank) override {
    const c10::cuda::CUDAGuard guard(gpu_);
    ncclUniqueId given;
    std::copy(id.begin(), id.end(), std::begin(given.internal));
    ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
    config.blocking = 1;  // Note [No thread inside NCCL]
    return status_of(ncclCommInitRankConfig(&comm, ranks, given, rank, &config));
  }

  NcclStatus state(ncclComm* comm, NcclStatus& state) override {
    ncclResult_t result = ncclInternalError;
    const NcclStatus asked = status_of(ncclCommGetAsyncError(comm, &result));
    state = status_of(result);
    return asked;
  }

  std::string last_error(ncclComm* comm) override {
    const char* text = ncclGetLastError(comm);
    return text ? text : "";
  }

  NcclStatus all_reduce(void* data, std::size_t length, NcclType type, ncclComm* comm,
                        CUstream_st* stream) override {
    const c10::cuda::CUDAGuard guard(gpu_);
    return status_of(ncclAllReduce(data, data, length, type_of(type), ncclSum, comm, stream));
  }

  NcclStatus reduce(void* data, std::size_t length, NcclType type, int root, ncclComm* comm,
                    CUstream_st* stream) override {
    const c10::cuda::CUDAGuard guard(gpu_);
    return status_of(ncclReduce(data, data, length, type_of(type), ncclSum, root, comm, stream));
  }

  NcclStatus broadcast(void* data, std::size_t bytes, int root, ncclComm* comm,
                       CUstream_st* stream) override {
    const c10::cuda::CUDAGuard guard(gpu_);
    return status_of(ncclBroadcast(data, data, bytes, ncclUint8, root, comm, stream));
  }

  NcclStatus finalize(ncclComm* comm) override {
    const c10::cuda::CUDAGuard guard(gpu_);
    return status_of(ncclCommFinalize(comm));
  }
  NcclStatus destroy(ncclComm* comm) override {
    const c10::cuda::CUDAGuard guard(gpu_);
    return status_of(ncclCommDestroy(comm));
  }
  NcclStatus abort(ncclComm* comm) override {
    const c10::cuda::CUDAGuard guard(gpu_);
    return status_of(ncclCommAbort(comm));
  }
  NcclStatus begin_group() override { return status_of(ncclGroupStart()); }
  NcclStatus end_group() override { return status_of(ncclGroupEnd()); }

 private:
  const c10::DeviceIndex gpu_;
};

}  // namespace

std::shared_ptr<NcclApi> make_nccl_api(int gpu) { return std::make_shared<Nccl>(gpu); }

}  // namespace thaw
