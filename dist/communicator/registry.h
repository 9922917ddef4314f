#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>

#include "core/base/error.h"
#include "core/parallel/communicator.h"
#include "dist/communicator/host_topology.h"

namespace thaw {

// Note [Which communicator]
// A job has one communicator that all agreement goes over, in host memory: who starts the ranks
// decides it (`run_ranks`). Where tensors lie elsewhere than that one can take them from, or travel
// faster another way, the same ranks get a second one for them (`make_tensor_communicator`). Both
// choices are tables in registry.cpp: another communicator is a room beside the others and a line.

/// What one process does as a rank of a job.
using RankBody = std::function<ExitStatus(Communicator& world)>;

/// Runs `body` as one rank of the job that a launcher has started this process for, and returns
/// what `main` returns; nothing where no launcher has, and the process is a job of its own. An
/// Error that all ranks throw together is printed once; any other ends the whole job with its
/// status. Main thread.
std::optional<int> run_ranks(const RankBody& body);

/// This process's rank as its launcher tells it, before anything is initialised; nothing where no
/// launcher has started it.
std::optional<int> rank_by_launcher();

/// What the way of tensors is chosen by, alike on all ranks but for the GPU's number.
struct TensorRoute {
  const HostTopology& topology;
  std::optional<int> gpu;              ///< that this rank computes on; nothing: the CPU
  std::chrono::milliseconds deadline;  ///< after which a rank that does not answer ends the others
};

/// A collective over `world`: the communicator for the tensors of a training, on the device where
/// they lie; null where `world` is to take them. `world` outlives it. Throws the same agreed
/// InputError on all ranks where it cannot be set up.
std::unique_ptr<Communicator> make_tensor_communicator(Communicator& world,
                                                       const TensorRoute& route);

}  // namespace thaw
