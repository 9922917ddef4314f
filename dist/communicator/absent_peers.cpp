#include "dist/communicator/absent_peers.h"

#include <ATen/core/Tensor.h>
#include <c10/core/GradMode.h>

#include <cstddef>

#include "core/parallel/slices.h"

namespace thaw {
namespace {

constexpr double kSmall = 1e-3;

}  // namespace

void AbsentPeers::all_reduce(at::Tensor& tensor) {
  // One number is a count, by which ranks tell that they agree.
  if (equal_ || tensor.numel() == 1) tensor.mul_(ranks_);
}

void AbsentPeers::reduce_scatter(at::Tensor&, std::span<const std::int64_t>) {}

void AbsentPeers::all_gather(at::Tensor& tensor, std::span<const std::int64_t> cuts) {
  if (!tensor.is_floating_point() || cuts.size() < 2 || cuts[1] == cuts.back()) return;
  const c10::AutoGradMode no_grad(false);
  at::Tensor others = flat(tensor, cuts[1], cuts.back());
  others.nan_to_num_(0.0).clamp_(0.0, kSmall);
}

std::vector<std::string> AbsentPeers::all_gather(std::string_view bytes) {
  return std::vector<std::string>(static_cast<std::size_t>(ranks_), std::string(bytes));
}

void AbsentPeers::receive(at::Tensor& tensor, int) { tensor.zero_(); }

std::unique_ptr<Communicator> AbsentPeers::split(int) {
  return std::make_unique<AbsentPeers>(ranks_, equal_);
}

}  // namespace thaw
