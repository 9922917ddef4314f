#pragma once

#include <chrono>
#include <memory>

#include "core/parallel/communicator.h"
#include "dist/communicator/host_topology.h"

namespace thaw {

struct GpuParts;

/// How long ranks wait for each other over NCCL, which keeps no deadlines itself.
struct NcclOptions {
  /// How long a sum, a broadcast or the joining of the ranks may take before the other ranks count
  /// as lost. From when the GPU could begin with it, so waiting for slower ranks is included.
  std::chrono::milliseconds deadline = std::chrono::minutes(10);
  /// How much longer a thread may then stay inside one call of NCCL before the communicators are
  /// aborted beside it.
  std::chrono::milliseconds patience = std::chrono::seconds(10);
  /// Between two looks at what is under way.
  std::chrono::milliseconds interval{20};
};

/// A Communicator for ranks with a GPU each: tensors that lie on it travel by NCCL, on a stream of
/// its own; tensors in host memory and small values go the way of `host`, of which it splits off a
/// part for itself. A collective over `host`, which outlives it.
///
/// A sum or broadcast comes after what the calling thread has queued on its current stream.
/// `all_reduce` and `broadcast` block the host; what `start_all_reduce` returns can be ordered on a
/// stream without that (Work::wait_on_stream), and several may be started one after another.
/// `barrier` is one of the hosts.
///
/// What is asked for while the current stream is recorded in a CUDA graph is recorded too, see
/// Note [Recorded sums]; `recorded_work_queued` on any of the family is for the sums of all.
///
/// `split` joins the new ranks' GPUs at the first tensor that needs it, so a communicator for small
/// values costs no GPU memory; see Note [Joining at first use]. All ranks destroy it together.
///
/// A failure of NCCL, or a rank that does not answer within the deadline, is thrown by the next
/// call on any communicator of the family (it and what was split off it): RunError or
/// DisagreementError, saying rank, host and what. All of the family are aborted then.
std::unique_ptr<Communicator> make_nccl_communicator(Communicator& host, const GpuParts& parts,
                                                     const NcclOptions& options = {});

/// A collective: the communicator of ranks that compute on GPUs, `gpu` being this rank's, over
/// `host`; see make_nccl_communicator. Throws InputError where Thaw was built without CUDA.
std::unique_ptr<Communicator> make_gpu_communicator(Communicator& host,
                                                    const HostTopology& topology, int gpu,
                                                    const NcclOptions& options = {});

}  // namespace thaw
