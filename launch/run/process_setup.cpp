#include "launch/run/process_setup.h"

#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cstdlib>
#include <vector>

#include "core/config/configuration.h"
#include "core/parallel/communicator.h"
#include "dist/communicator/host_topology.h"

namespace thaw {
namespace {

/// A process that sets up one run after another, as `thaw compare` does, says it for the first.
void warn_once(const std::string& warning) {
  static std::string said;
  if (warning == said) return;
  fmt::print(stderr, "thaw: warning: {}\n", warning);
  said = warning;
}

}  // namespace

std::string binding_remark(std::int64_t threads, std::int64_t given, std::int64_t on_host,
                           std::int64_t ranks_on_host) {
  const char* remedy =
      "start with mpirun --bind-to none (or --map-by slot:PE=N; srun --cpus-per-task=N)";
  const char* plural = given == 1 ? "" : "s";
  if (threads > given) {
    return fmt::format(
        "computes with {} threads but may run on {} core{} only: {}, or lower "
        "train.threads",
        threads, given, plural, remedy);
  }
  if (given < on_host / ranks_on_host) {
    return fmt::format("is bound to {} of the host's {} cores, which {} rank{} share{}: {}", given,
                       on_host, ranks_on_host, ranks_on_host == 1 ? "" : "s",
                       ranks_on_host == 1 ? "s" : "", remedy);
  }
  return "";
}

void use_cores(std::int64_t wanted, const HostTopology& topology, Communicator& communicator) {
  const std::int64_t threads = wanted > 0 ? wanted : topology.threads;
  at::set_num_threads(static_cast<int>(threads));
  const std::vector<std::string> remarks = communicator.all_gather(
      binding_remark(threads, static_cast<std::int64_t>(topology.cores.size()),
                     sysconf(_SC_NPROCESSORS_ONLN), topology.local_size));
  for (std::size_t rank = 0; communicator.rank() == 0 && rank < remarks.size(); ++rank) {
    if (!remarks[rank].empty()) {
      warn_once(fmt::format("rank {} (host {}) {}", rank, topology.hosts[rank], remarks[rank]));
      return;
    }
  }
}

void set_gpu_arithmetic(const TrainOptions& train) {
  at::Context& context = at::globalContext();
  context.setAllowTF32CuBLAS(train.tf32);
  context.setAllowTF32CuDNN(train.tf32);  // which is LibTorch's default, silently
  context.setBenchmarkCuDNN(train.cudnn_benchmark && !train.deterministic);
}

std::string make_deterministic(bool on_gpu) {
  if (!on_gpu) return "";
  at::Context& context = at::globalContext();
  context.setDeterministicCuDNN(true);
  context.setBenchmarkCuDNN(false);
  // Operators that have no deterministic kernel throw, naming themselves.
  context.setDeterministicAlgorithms(true, /*warn_only=*/false);
  setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8", /*replace=*/0);
  // NVLS and the tuner's choice among algorithms change the order of sums.
  setenv("NCCL_ALGO", "Ring", /*replace=*/0);
  setenv("NCCL_NVLS_ENABLE", "0", /*replace=*/0);
  return "cuDNN's choice by benchmark, kernels that add in no fixed order, cuBLAS's workspaces of "
         "free size, NCCL's algorithms but Ring";
}

}  // namespace thaw
