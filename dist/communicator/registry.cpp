#include "dist/communicator/registry.h"

#include "dist/communicator/mpi/mpi_session.h"
#include "dist/communicator/nccl/nccl_communicator.h"

namespace thaw {

namespace {

/// A way to become a rank: the first whose launcher has started this process is taken.
struct RankStart {
  std::optional<int> (*rank)();  ///< by the launcher's word; nothing: not started by it
  int (*run)(const RankBody& body);
};

constexpr RankStart kRankStarts[] = {
    {mpi_rank_by_launcher, MpiSession::run},
};

/// A way for tensors: the first that serves is taken.
struct TensorTransport {
  bool (*serves)(const TensorRoute& route);
  std::unique_ptr<Communicator> (*make)(Communicator& world, const TensorRoute& route);
};

constexpr TensorTransport kTensorTransports[] = {
    {[](const TensorRoute& route) { return route.gpu.has_value(); },
     [](Communicator& world, const TensorRoute& route) {
       return make_gpu_communicator(world, route.topology, *route.gpu,
                                    {.deadline = route.deadline});
     }},
};

}  // namespace

std::optional<int> rank_by_launcher() {
  for (const RankStart& start : kRankStarts) {
    if (const std::optional<int> rank = start.rank()) return rank;
  }
  return std::nullopt;
}

std::optional<int> run_ranks(const RankBody& body) {
  for (const RankStart& start : kRankStarts) {
    if (start.rank()) return start.run(body);
  }
  return std::nullopt;
}

std::unique_ptr<Communicator> make_tensor_communicator(Communicator& world,
                                                       const TensorRoute& route) {
  if (world.size() == 1) return nullptr;
  for (const TensorTransport& transport : kTensorTransports) {
    if (transport.serves(route)) return transport.make(world, route);
  }
  return nullptr;
}

}  // namespace thaw
