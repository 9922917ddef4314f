#include "core/parallel/communicator.h"

#include <ATen/core/Tensor.h>
#include <fmt/format.h>

#include "core/base/error.h"
#include "core/parallel/slices.h"
#include "core/parallel/tensor_checks.h"

namespace thaw {

namespace {

class DoneWork final : public Work {
 public:
  bool poll() override { return true; }
  void wait() override {}
};

}  // namespace

std::unique_ptr<Work> Communicator::start_all_reduce(at::Tensor tensor) {
  all_reduce(tensor);
  return std::make_unique<DoneWork>();
}

// A sum that every rank gets holds each rank's slice of it.
void Communicator::reduce_scatter(at::Tensor& tensor, std::span<const std::int64_t> cuts) {
  check_dense_tensor(tensor, "reduce_scatter");
  check_cuts(cuts, tensor.numel(), size(), "reduce_scatter");
  all_reduce(tensor);
}

std::unique_ptr<Work> Communicator::start_reduce_scatter(at::Tensor tensor,
                                                         std::span<const std::int64_t> cuts) {
  reduce_scatter(tensor, cuts);
  return std::make_unique<DoneWork>();
}

void Communicator::all_gather(at::Tensor& tensor, std::span<const std::int64_t> cuts) {
  check_dense_tensor(tensor, "all_gather");
  check_cuts(cuts, tensor.numel(), size(), "all_gather");
  for (int rank = 0; rank < size(); ++rank) {
    const auto place = static_cast<std::size_t>(rank);
    if (cuts[place] == cuts[place + 1]) continue;
    at::Tensor slice = flat(tensor, cuts[place], cuts[place + 1]);
    broadcast(slice, rank);
  }
}

std::unique_ptr<Work> Communicator::start_all_gather(at::Tensor tensor,
                                                     std::span<const std::int64_t> cuts) {
  all_gather(tensor, cuts);
  return std::make_unique<DoneWork>();
}

void Communicator::send(const at::Tensor&, int to) {
  throw RunError(fmt::format("this communicator carries no messages: one to rank {}", to));
}

void Communicator::receive(at::Tensor&, int from) {
  throw RunError(fmt::format("this communicator carries no messages: one from rank {}", from));
}

}  // namespace thaw
