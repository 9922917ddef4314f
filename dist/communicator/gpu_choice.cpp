#include "dist/communicator/gpu_choice.h"

#include <fmt/format.h>

#include <array>
#include <cstdlib>

#include "core/base/error.h"
#include "core/parallel/agreement.h"
#include "dist/communicator/gpu_backend.h"

namespace thaw {

namespace {

// Note [Several ranks on one GPU]
// For tests and measurements on a machine with one GPU; it is never faster. NCCL before 2.30 takes
// two ranks with the same GPU on the same host for a mistake ("Duplicate GPU detected"), unless
// they report different hosts, which is what NCCL_HOSTID says; they then talk over the network, by
// loopback. From 2.30 on NCCL_MULTI_RANK_GPU_ENABLE=1 is NCCL's own switch. Thaw takes that one
// variable for both: with an older NCCL it gives each rank a host id of its own.
// Kernels of both ranks must run at the same time, so the GPU must be in its default compute mode.
constexpr const char* kShareVariable = "NCCL_MULTI_RANK_GPU_ENABLE";
constexpr const char* kHostVariable = "NCCL_HOSTID";
constexpr int kFirstVersionThatShares = 23000;

std::optional<std::string> environment(const char* name) {
  const char* text = std::getenv(name);
  return text ? std::optional<std::string>(text) : std::nullopt;
}

std::string seen(const GpuSupply& supply) {
  return supply.visible ? fmt::format("{} (CUDA_VISIBLE_DEVICES={})", supply.count, *supply.visible)
                        : fmt::format("{}", supply.count);
}

}  // namespace

GpuSupply gpu_supply() {
  return {.built_with_cuda = kHasCuda,
          .count = gpu_count(),
          .visible = environment("CUDA_VISIBLE_DEVICES"),
          .shared = environment(kShareVariable) == "1" || environment(kHostVariable).has_value(),
          .driver = has_gpu_driver()};
}

int gpu_of_rank(const HostTopology& topology, int rank, const GpuSupply& supply) {
  if (!supply.built_with_cuda) {
    throw InputError(
        "train.device: \"cuda\" is wanted, but this thaw was built without CUDA: build it where a "
        "CUDA toolkit, NCCL and a LibTorch for CUDA are (preset cuda), or say \"cpu\"");
  }
  if (supply.count == 0 && supply.visible) {
    throw InputError(fmt::format(
        "train.device: CUDA_VISIBLE_DEVICES is \"{}\", which leaves this rank no GPU: unset it, or "
        "name the GPUs of the host in it, or say \"cpu\"",
        *supply.visible));
  }
  if (supply.count == 0) {
    throw InputError(
        "train.device: this rank sees no GPU (does nvidia-smi show one on its host?); say \"cpu\" "
        "to compute without");
  }
  if (topology.local_rank < supply.count) return topology.local_rank;
  if (supply.shared) return topology.local_rank % supply.count;
  throw InputError(fmt::format(
      "train.device: {} ranks run on host {}, and each is to have a GPU of its own, but they see "
      "{}: start as many ranks as GPUs and let each rank see all of its host's (srun "
      "--gpus-per-node, not --gpus-per-task), or say \"cpu\"",
      topology.local_size, topology.host(rank), seen(supply)));
}

std::optional<int> agreed_gpu(Communicator& communicator, const HostTopology& topology,
                              DeviceChoice wanted, const GpuSupply& supply) {
  if (wanted == DeviceChoice::kCpu) return {};
  std::array<double, 1> ranks_with_gpus = {supply.count > 0 ? 1.0 : 0.0};
  communicator.all_reduce(ranks_with_gpus);
  if (wanted == DeviceChoice::kAuto && ranks_with_gpus[0] == 0) return {};
  return agreed(communicator, [&] { return gpu_of_rank(topology, communicator.rank(), supply); });
}

std::string why_no_gpu(const GpuSupply& supply) {
  if (supply.visible) {
    return fmt::format("CUDA_VISIBLE_DEVICES is \"{}\", which leaves no GPU", *supply.visible);
  }
  return supply.driver ? "NVIDIA's driver shows no GPU (nvidia-smi tells more)"
                       : "NVIDIA's driver is not installed (there is no libcuda.so.1)";
}

std::string host_id_for_sharing(const HostTopology& topology, const GpuSupply& supply,
                                int nccl_version, const std::string& host) {
  const bool needed = supply.shared && topology.local_size > supply.count &&
                      nccl_version < kFirstVersionThatShares && !environment(kHostVariable);
  return needed ? fmt::format("{}-{}", host, topology.local_rank) : "";
}

}  // namespace thaw
