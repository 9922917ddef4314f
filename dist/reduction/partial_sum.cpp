#include "dist/reduction/partial_sum.h"

#include <ATen/ops/zeros.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <utility>

#include "dist/reduction/bucket_map.h"

namespace thaw {

PartialSum::PartialSum(const BucketMap& layout, std::span<const NamedTensor> active,
                       SlabMemory memory)
    : layout_(layout), memory_(std::move(memory)), slabs_(layout, active, memory_) {
  blocks_.push_back(at::zeros({static_cast<std::int64_t>(active.size()) + 2}, at::kDouble));
  for (std::size_t i = 0; i < layout.buckets().size(); ++i) blocks_.push_back(slabs_.slab(i));
}

std::span<double> PartialSum::counts() {
  return {blocks_.front().mutable_data_ptr<double>(), layout_.parameters() + 2};
}

void PartialSum::start(const std::vector<bool>& used, bool has_samples) {
  const c10::AutoGradMode no_grad(false);
  std::ranges::fill(counts(), 0.0);
  for (std::size_t i = 0; i < used.size(); ++i) {
    if (!used[i]) gradient(i).fill_(-0.0);
  }
  count(used, has_samples);
}

void PartialSum::count(const std::vector<bool>& used, bool has_samples) {
  const std::span<double> all = counts();
  for (std::size_t i = 0; i < used.size(); ++i) all[i] += used[i] ? 1 : 0;
  all.back() += has_samples ? 1 : 0;
}

void PartialSum::add(const PartialSum& other) {
  const c10::AutoGradMode no_grad(false);
  for (std::size_t i = 0; i < blocks_.size(); ++i) blocks_[i].add_(other.blocks_[i]);
}

std::int64_t PartialSum::bytes() const {
  std::int64_t bytes = 0;
  for (const at::Tensor& block : blocks_) bytes += static_cast<std::int64_t>(block.nbytes());
  return bytes;
}

}  // namespace thaw
