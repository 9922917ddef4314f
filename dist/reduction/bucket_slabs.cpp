#include "dist/reduction/bucket_slabs.h"

#include <ATen/ops/empty.h>
#include <c10/core/GradMode.h>
#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "core/base/error.h"
#include "core/parallel/active_set.h"
#include "core/parallel/tensor_checks.h"
#include "dist/reduction/bucket_planner.h"

namespace thaw {

at::Tensor SlabMemory::take(at::ScalarType type, at::Device device, std::int64_t length) {
  const c10::AutoGradMode no_grad(false);
  auto block = std::find_if(blocks_.begin(), blocks_.end(), [&](const at::Tensor& one) {
    return one.scalar_type() == type && one.device() == device;
  });
  if (block == blocks_.end()) block = blocks_.emplace(block);
  const bool fits =
      block->defined() && block->numel() >= length && block->numel() <= length + length / 4;
  if (!fits) {
    block->reset();  // before the new one: both at once would be the peak
    *block = at::empty({length}, at::dtype(type).device(device));
  }
  return block->narrow(0, 0, length);
}

void SlabMemory::touch() {
  for (const at::Tensor& block : blocks_) {
    // Not `zero_`, which would start a team of threads of its own beside the one that trains.
    if (block.is_cpu()) std::memset(block.mutable_data_ptr(), 0, block.nbytes());
  }
}

namespace {

c10::ScalarType scalar_type(ElementType type) {
  switch (type) {
    case ElementType::kFloat32:
      return at::kFloat;
    case ElementType::kFloat64:
      return at::kDouble;
    case ElementType::kBFloat16:
      return at::kBFloat16;
  }
  return at::kFloat;
}

/// Autograd gives a gradient its parameter's strides where those have no gaps, else row-major ones
/// ("Gradient Layout Contract" in torch/csrc/autograd/functions/accumulate_grad.h).
std::vector<std::int64_t> gradient_strides(const at::Tensor& parameter) {
  if (parameter.is_non_overlapping_and_dense()) return parameter.strides().vec();
  std::vector<std::int64_t> strides(static_cast<std::size_t>(parameter.dim()), 1);
  for (std::size_t i = strides.size(); i-- > 1;) {
    strides[i - 1] = strides[i] * parameter.size(static_cast<std::int64_t>(i));
  }
  return strides;
}

/// `parameter`'s place in a slab: see Note [Types that travel] in gradient_slot.h.
at::Tensor slot_in(const at::Tensor& slab, std::int64_t offset, const at::Tensor& parameter) {
  offset += slab.storage_offset();
  at::TensorOptions options = slab.options();
  if (parameter.is_complex()) {
    options = options.dtype(parameter.scalar_type());
    offset /= 2;  // even: slots begin at multiples of 64 bytes
  }
  return at::empty({0}, options)
      .set_(slab.storage(), offset, parameter.sizes(), gradient_strides(parameter));
}

}  // namespace

BucketEntry bucket_entry(const NamedTensor& parameter) {
  const at::Tensor& tensor = parameter.tensor;
  if (!tensor.defined() || tensor.layout() != at::kStrided || !tensor.is_leaf() ||
      !tensor.requires_grad()) {
    throw InputError(fmt::format(
        "parameter \"{}\" is {}; an active parameter is a dense leaf that requires a gradient",
        parameter.name, describe(tensor)));
  }
  return describe_entry(parameter);
}

BucketEntry describe_entry(const NamedTensor& parameter) {
  const at::Tensor& tensor = parameter.tensor;
  BucketEntry entry;
  entry.name = parameter.name;
  entry.shape = tensor.sizes().vec();
  entry.strides = gradient_strides(tensor);
  // Strides of dimensions of size 1 mean nothing and may differ between ranks.
  for (std::size_t i = 0; i < entry.shape.size(); ++i) {
    if (entry.shape[i] <= 1) entry.strides[i] = 1;
  }
  if (tensor.is_complex()) {
    entry.shape.push_back(2);
    entry.strides.push_back(1);
  }
  entry.type = element_type(parameter);
  entry.device = c10::DeviceTypeName(tensor.device().type(), /*lower_case=*/true);
  return entry;
}

BucketSlabs::BucketSlabs(const BucketMap& map, std::span<const NamedTensor> active,
                         SlabMemory& memory)
    : map_(map), slabs_(map.buckets().size()), gradients_(active.size()) {
  const c10::AutoGradMode no_grad(false);
  lay_out(active, memory);
  for (std::size_t i = 0; i < slabs_.size(); ++i) {
    if (map.buckets()[i].by_rows) continue;
    const at::Tensor& slab = slabs_[i];
    // Slots are written before each use; only what lies between them is zeroed here, so that the
    // first step touches the memory, not the transition.
    std::int64_t end = 0;
    for (const BucketSlot& slot : map.buckets()[i].slots) {
      slab.narrow(0, end, slot.offset - end).zero_();
      end = slot.offset + slot.length;
      gradients_[slot.parameter] = slot_in(slab, slot.offset, active[slot.parameter].tensor);
    }
    slab.narrow(0, end, slab.numel() - end).zero_();
  }
}

void BucketSlabs::lay_out(std::span<const NamedTensor> active, SlabMemory& memory) {
  struct Block {
    at::ScalarType type;
    at::Device device;
    std::int64_t length;
    std::vector<std::size_t> buckets;
  };
  std::vector<Block> blocks;
  for (std::size_t i = 0; i < map_.buckets().size(); ++i) {
    const Bucket& bucket = map_.buckets()[i];
    if (bucket.by_rows) continue;
    const at::ScalarType type = scalar_type(bucket.type);
    const at::Device device = bucket.slots.empty()
                                  ? at::Device(at::kCPU)
                                  : active[bucket.slots.front().parameter].tensor.device();
    auto block = std::find_if(blocks.begin(), blocks.end(), [&](const Block& one) {
      return one.type == type && one.device == device;
    });
    // Each block has room for the flags, so that maps of another order need the same.
    if (block == blocks.end())
      block = blocks.insert(block, {type, device, map_.flags_length(), {}});
    const bool holds_flags = i + 1 == map_.buckets().size();
    block->length += bucket.length - (holds_flags ? map_.flags_length() : 0);
    block->buckets.push_back(i);
  }
  for (const Block& block : blocks) {
    const at::Tensor all = memory.take(block.type, block.device, block.length);
    std::int64_t begin = 0;
    for (const std::size_t bucket : block.buckets) {
      slabs_[bucket] = all.narrow(0, begin, map_.buckets()[bucket].length);
      begin += map_.buckets()[bucket].length;
    }
  }
}

at::Tensor BucketSlabs::flags() const {
  const at::Tensor& last = slabs_.back();
  return last.narrow(0, map_.flags_offset(), last.numel() - map_.flags_offset());
}

void BucketSlabs::write_flags(const std::vector<bool>& used, bool fault, bool took_part) {
  const c10::AutoGradMode no_grad(false);
  const at::Tensor host = at::empty({map_.flags_length()}, at::kFloat);
  auto* values = host.mutable_data_ptr<float>();
  for (const bool one : used) *values++ = one ? 1.0F : 0.0F;
  *values++ = fault ? 1.0F : 0.0F;
  *values = took_part ? 1.0F : 0.0F;
  flags().copy_(host);
}

std::vector<double> BucketSlabs::read_flags() const {
  const c10::AutoGradMode no_grad(false);
  const at::Tensor host = flags().to(at::kCPU, at::kDouble).contiguous();
  const auto* values = host.const_data_ptr<double>();
  return {values, values + host.numel()};
}

}  // namespace thaw
