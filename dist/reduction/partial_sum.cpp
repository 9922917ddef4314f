#include "dist/reduction/partial_sum.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <utility>

#include "dist/reduction/bucket_planner.h"
#include "dist/reduction/bucket_slabs.h"

namespace thaw {

namespace {

/// So that every gradient begins where LibTorch's own tensors do.
constexpr std::int64_t kAlignment = 64;

/// Elements that a gradient of this parameter takes in its block.
std::int64_t room_for(const at::Tensor& parameter) {
  const std::int64_t unit = kAlignment / static_cast<std::int64_t>(parameter.element_size());
  return (parameter.numel() + unit - 1) / unit * unit;
}

struct Block {
  at::ScalarType type;
  std::int64_t length = 0;
  std::vector<std::size_t> parameters;
};

std::vector<Block> blocks_for(std::span<const NamedParameter> active) {
  std::vector<Block> blocks;
  for (std::size_t i = 0; i < active.size(); ++i) {
    const at::ScalarType type = active[i].tensor.scalar_type();
    auto block = std::find_if(blocks.begin(), blocks.end(),
                              [&](const Block& each) { return each.type == type; });
    if (block == blocks.end()) block = blocks.insert(block, {type, 0, {}});
    block->length += room_for(active[i].tensor);
    block->parameters.push_back(i);
  }
  return blocks;
}

}  // namespace

PartialSum::PartialSum(std::span<const NamedParameter> active, SlabMemory memory)
    : memory_(std::move(memory)), gradients_(active.size()) {
  const c10::AutoGradMode no_grad(false);
  blocks_.push_back(at::zeros({static_cast<std::int64_t>(active.size()) + 2}, at::kDouble));
  for (const Block& block : blocks_for(active)) {
    const at::Tensor& slab =
        blocks_.emplace_back(memory_.take(block.type, at::Device(at::kCPU), block.length));
    std::int64_t begin = 0;
    for (const std::size_t i : block.parameters) {
      const at::Tensor& parameter = active[i].tensor;
      // Not a view for autograd, so that `Optimizer::zero_grad` may detach and zero it.
      gradients_[i] = at::empty({0}, slab.options())
                          .set_(slab.storage(), slab.storage_offset() + begin, parameter.sizes(),
                                bucket_entry(active[i]).strides);
      const std::int64_t end = begin + room_for(parameter);
      slab.slice(0, begin + parameter.numel(), end).zero_();
      begin = end;
    }
  }
}

std::span<double> PartialSum::counts() {
  return {blocks_.front().mutable_data_ptr<double>(), gradients_.size() + 2};
}

void PartialSum::start(const std::vector<bool>& used, bool has_samples) {
  const c10::AutoGradMode no_grad(false);
  std::ranges::fill(counts(), 0.0);
  for (std::size_t i = 0; i < used.size(); ++i) {
    if (!used[i]) gradients_[i].fill_(-0.0);
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

std::int64_t PartialSum::payload_bytes() const {
  std::int64_t bytes = 0;
  for (const at::Tensor& gradient : gradients_)
    bytes += static_cast<std::int64_t>(gradient.nbytes());
  return bytes;
}

std::int64_t PartialSum::padding_bytes() const {
  std::int64_t bytes = -payload_bytes();
  for (const at::Tensor& block : blocks_) bytes += static_cast<std::int64_t>(block.nbytes());
  return bytes;
}

}  // namespace thaw
