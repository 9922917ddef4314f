#include "dist/communicator/nccl/nccl_api.h"

namespace thaw {

std::string_view nccl_status_text(NcclStatus status) {
  switch (status) {
    case NcclStatus::kSuccess:
      return "success";
    case NcclStatus::kInProgress:
      return "in progress";
    case NcclStatus::kCudaError:
      return "a CUDA call failed";
    case NcclStatus::kSystemError:
      return "a system call failed";
    case NcclStatus::kInternalError:
      return "internal error";
    case NcclStatus::kInvalidArgument:
      return "invalid argument";
    case NcclStatus::kInvalidUsage:
      return "invalid usage";
    case NcclStatus::kRemoteError:
      return "another rank's process has ended or the network to it failed";
    case NcclStatus::kUnknown:
      break;
  }
  return "unknown error";
}

}  // namespace thaw
