#pragma once

#include <array>
#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

struct CUstream_st;  // what cudaStream_t points to
struct ncclComm;     // what ncclComm_t points to

namespace thaw {

/// What a call of NCCL returned, or what became of one that was in progress.
enum class NcclStatus {
  kSuccess,
  kInProgress,  ///< the call goes on by itself: ask `state`
  kCudaError,
  kSystemError,
  kInternalError,
  kInvalidArgument,
  kInvalidUsage,
  kRemoteError,
  kUnknown,
};

/// What a status means, in words for a message.
std::string_view nccl_status_text(NcclStatus status);

enum class NcclType { kFloat32, kFloat64, kBFloat16, kInt64, kByte };

/// What the ranks of one communicator find each other by: made on one, told to all.
using NcclId = std::array<char, 128>;

/// The calls of NCCL that Thaw makes, and no more: thin, so that timeouts, asynchronous errors and
/// aborts are tested without a GPU.
///
/// Communicators block: a call returns when what it queues is queued. One that answers kInProgress
/// all the same goes on by itself, and no other may be made on the same communicator until `state`
/// gives another status. Nothing here takes a lock or keeps a deadline; NcclLink does, see
/// Note [No thread inside NCCL].
class NcclApi {
 public:
  virtual ~NcclApi() = default;

  /// Of the library that runs: 22809 is 2.28.9.
  virtual int version() = 0;
  virtual NcclStatus make_id(NcclId& id) = 0;

  /// Joins `ranks` ranks that use the same id, and may wait for them. `comm` may be set before the
  /// call has succeeded, and is then to be aborted if it does not.
  virtual NcclStatus init(ncclComm*& comm, int ranks, const NcclId& id, int rank) = 0;
  /// Stores what became of the call in progress, or the error that has hit the communicator since.
  virtual NcclStatus state(ncclComm* comm, NcclStatus& state) = 0;
  /// NCCL's own words on its last error; may be empty.
  virtual std::string last_error(ncclComm* comm) = 0;

  /// In place, queued on `stream`.
  virtual NcclStatus all_reduce(void* data, std::size_t length, NcclType type, ncclComm* comm,
                                CUstream_st* stream) = 0;
  /// The sum lands on rank `root` alone; what others have there afterwards is of no use.
  virtual NcclStatus reduce(void* data, std::size_t length, NcclType type, int root, ncclComm* comm,
                            CUstream_st* stream) = 0;
  virtual NcclStatus broadcast(void* data, std::size_t bytes, int root, ncclComm* comm,
                               CUstream_st* stream) = 0;

  /// The orderly end: all ranks call `finalize`, wait until it is no longer in progress, then
  /// `destroy`.
  virtual NcclStatus finalize(ncclComm* comm) = 0;
  virtual NcclStatus destroy(ncclComm* comm) = 0;
  /// The other end: stops what is under way on the GPU and frees `comm`, whatever other ranks do.
  virtual NcclStatus abort(ncclComm* comm) = 0;
  /// What this thread calls between the two takes effect together.
  virtual NcclStatus begin_group() = 0;
  virtual NcclStatus end_group() = 0;
};

/// Defined where Thaw is built with CUDA: NCCL itself, with `gpu` as the current device in each
/// call.
std::shared_ptr<NcclApi> make_nccl_api(int gpu);

}  // namespace thaw
