#include "dist/reduction/sharding/slice_memory.h"

#include <ATen/ops/empty.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <utility>

#include "core/parallel/slices.h"

namespace thaw {

namespace {

/// As many as are under way at a time: one that is filled, one that is summed.
constexpr std::size_t kSlabsKept = 2;

std::vector<NamedTensor> copied(std::span<const NamedTensor> tensors) {
  return {tensors.begin(), tensors.end()};
}

}  // namespace

SliceMemory::SliceMemory(const BucketMap& map, const SlicePlan& plan, int rank,
                         std::span<const NamedTensor> active, bool stays, SlabMemory memory)
    : map_(map),
      plan_(plan),
      rank_(static_cast<std::size_t>(rank)),
      active_(copied(active)),
      memory_(std::move(memory)),
      slabs_(map.buckets().size()),
      places_(active.size()),
      slices_(map.buckets().size()) {
  const c10::AutoGradMode no_grad(false);
  if (stays) staying_.emplace(map, active, memory_);
  for (std::size_t i = 0; i < slices_.size(); ++i) {
    const Bucket& bucket = map.buckets()[i];
    if (bucket.slots.empty()) continue;
    const Cuts& cuts = plan.bucket(i);
    const std::int64_t length = cuts[rank_ + 1] - cuts[rank_];
    if (staying_ && !bucket.by_rows) {
      slices_[i] = staying_->slab(i).narrow(0, cuts[rank_], length);
    } else {
      const at::Tensor& like = active_[bucket.slots.front().parameter].tensor;
      slices_[i] = at::empty({length}, like.options().requires_grad(false));
    }
  }
}

at::Tensor SliceMemory::take(std::size_t bucket) {
  const at::Tensor& like = active_[map_.buckets()[bucket].slots.front().parameter].tensor;
  const std::int64_t length = plan_.bucket(bucket).back();
  const auto fits = [&](const at::Tensor& slab) {
    return slab.scalar_type() == like.scalar_type() && slab.numel() >= length;
  };
  auto found = std::find_if(free_.begin(), free_.end(), fits);
  at::Tensor slab;
  if (found != free_.end()) {
    slab = *found;
    free_.erase(found);
  } else {
    // As long as the longest, so that the next bucket can have it.
    std::int64_t longest = length;
    for (std::size_t i = 0; i < map_.buckets().size(); ++i) {
      const Bucket& other = map_.buckets()[i];
      if (other.by_rows || other.type != map_.buckets()[bucket].type) continue;
      longest = std::max(longest, plan_.bucket(i).back());
    }
    slab = at::empty({longest}, like.options().requires_grad(false));
  }
  // What lies between gradients is summed too, and must be a number.
  std::int64_t end = 0;
  for (const BucketSlot& slot : map_.buckets()[bucket].slots) {
    slab.narrow(0, end, slot.offset - end).zero_();
    end = slot.offset + slot.length;
  }
  slab.narrow(0, end, length - end).zero_();
  return slab;
}

at::Tensor SliceMemory::slab(std::size_t bucket) {
  const c10::AutoGradMode no_grad(false);
  const std::int64_t length = plan_.bucket(bucket).back();
  if (staying_) return staying_->slab(bucket).narrow(0, 0, length);
  const std::lock_guard lock(mutex_);
  if (!slabs_[bucket].defined()) slabs_[bucket] = take(bucket);
  return slabs_[bucket].narrow(0, 0, length);
}

const at::Tensor& SliceMemory::place(std::size_t parameter) {
  if (staying_) return staying_->gradient(parameter);
  const std::size_t bucket = map_.bucket_of(parameter);
  if (places_[parameter].defined() || map_.buckets()[bucket].by_rows) return places_[parameter];
  const BucketSlot& slot = map_.slot_of(parameter);
  const at::Tensor place = flat(slab(bucket), slot.offset, slot.offset + slot.length);
  const at::Tensor& tensor = active_[parameter].tensor;
  places_[parameter] =
      at::empty({0}, place.options())
          .set_(place.storage(), place.storage_offset(), tensor.sizes(), tensor.strides());
  return places_[parameter];
}

void SliceMemory::give(std::size_t bucket) {
  if (slabs_[bucket].defined()) free_.push_back(std::exchange(slabs_[bucket], {}));
}

void SliceMemory::keep_slice(std::size_t bucket) {
  if (staying_) return;
  const c10::AutoGradMode no_grad(false);
  const std::int64_t first = plan_.bucket(bucket)[rank_];
  const std::lock_guard lock(mutex_);
  slices_[bucket].copy_(slabs_[bucket].narrow(0, first, slices_[bucket].numel()));
  give(bucket);
}

void SliceMemory::keep_rows(std::size_t bucket, const at::Tensor& gradient) {
  const c10::AutoGradMode no_grad(false);
  const Cuts& cuts = plan_.bucket(bucket);
  slices_[bucket].copy_(flat(gradient, cuts[rank_], cuts[rank_ + 1]));
}

void SliceMemory::forget_places(std::size_t bucket) {
  for (const BucketSlot& slot : map_.buckets()[bucket].slots) places_[slot.parameter].reset();
}

void SliceMemory::let_go(std::size_t bucket) {
  if (staying_) return;
  forget_places(bucket);
  const std::lock_guard lock(mutex_);
  give(bucket);
}

void SliceMemory::trim() {
  const std::lock_guard lock(mutex_);
  if (free_.size() > kSlabsKept) free_.resize(kSlabsKept);
}

std::int64_t SliceMemory::bytes() const {
  const std::lock_guard lock(mutex_);
  std::int64_t bytes = 0;
  const auto add = [&](const at::Tensor& tensor) {
    if (tensor.defined()) bytes += static_cast<std::int64_t>(tensor.nbytes());
  };
  for (std::size_t i = 0; i < slabs_.size(); ++i) {
    const bool inside = staying_ && !map_.buckets()[i].by_rows;
    if (inside) add(staying_->slab(i));
    add(slabs_[i]);
    if (!inside) add(slices_[i]);
  }
  for (const at::Tensor& slab : free_) add(slab);
  return bytes;
}

}  // namespace thaw
