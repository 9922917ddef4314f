#include "core/kernels/rows/device_rows.h"

#include <c10/core/Device.h>

#include <algorithm>
#include <utility>

#include "core/kernels/random/draw_scope.h"

namespace thaw {
namespace {

/// Parts of a pack, in this order, from `first_` on.
enum Part : std::size_t {
  kSamples,
  kOffsets,
  kOwners,
  kPlaces,
  kByWord,
  // Where prompts are known.
  kCountedRows,
  kCountedTargets,
  kCountedOwners,
  kCountedSlots,
};

template <typename T>
void copy_to(const at::Tensor& tensor, std::span<const T> values) {
  std::ranges::copy(values, tensor.mutable_data_ptr<T>());
}

std::vector<std::int64_t> length_of(const auto& values) {
  return {static_cast<std::int64_t>(values.size())};
}

}  // namespace

DeviceRowsPack::DeviceRowsPack(TensorPack& pack, std::span<const std::int64_t> samples,
                               RowIndex index, std::optional<CountedRows> counted)
    : index_(std::move(index)),
      counted_(std::move(counted)),
      first_(pack.add(at::kLong, length_of(samples))) {
  pack.add(at::kInt, length_of(index_.offsets));
  pack.add(at::kInt, length_of(index_.owners));
  pack.add(at::kInt, length_of(index_.places));
  pack.add(at::kInt, length_of(index_.tokens_by_word));
  if (!counted_) return;
  for (const auto* of :
       {&counted_->rows, &counted_->targets, &counted_->owners, &counted_->slots}) {
    pack.add(at::kLong, length_of(*of));
  }
}

void DeviceRowsPack::write(const TensorPack& pack, const at::Tensor& host_bytes,
                           std::span<const std::int64_t> samples) const {
  const auto part = [&](Part number) { return pack.view(host_bytes, first_ + number); };
  copy_to<std::int64_t>(part(kSamples), samples);
  copy_to<std::int32_t>(part(kOffsets), index_.offsets);
  copy_to<std::int32_t>(part(kOwners), index_.owners);
  copy_to<std::int32_t>(part(kPlaces), index_.places);
  copy_to<std::int32_t>(part(kByWord), index_.tokens_by_word);
  if (!counted_) return;
  copy_to<std::int64_t>(part(kCountedRows), counted_->rows);
  copy_to<std::int64_t>(part(kCountedTargets), counted_->targets);
  copy_to<std::int64_t>(part(kCountedOwners), counted_->owners);
  copy_to<std::int64_t>(part(kCountedSlots), counted_->slots);
}

std::shared_ptr<const DeviceRows> DeviceRowsPack::view(const TensorPack& pack,
                                                       const at::Tensor& device_bytes) const {
  const auto part = [&](Part number) { return pack.view(device_bytes, first_ + number); };
  auto rows = std::make_shared<DeviceRows>();
  rows->longest = index_.longest;
  rows->samples = part(kSamples);
  if (!index_.offsets.empty()) {
    rows->offsets = part(kOffsets);
    rows->owners = part(kOwners);
    rows->places = part(kPlaces);
  }
  if (!index_.tokens_by_word.empty()) rows->tokens_by_word = part(kByWord);
  if (counted_) {
    rows->counted_rows = part(kCountedRows);
    rows->counted_targets = part(kCountedTargets);
    rows->counted_owners = part(kCountedOwners);
    rows->counted_slots = part(kCountedSlots);
  }
  return rows;
}

const DeviceRows& on_device(const SampleRows& rows, const at::Device& device) {
  if (rows.device == nullptr) {
    TensorPack pack;
    const DeviceRowsPack parts(pack, rows.samples, row_index(rows.offsets, {}));
    const at::Tensor bytes = pack.allocate(/*pinned=*/false);
    parts.write(pack, bytes, rows.samples);
    rows.device = parts.view(pack, bytes.to(device));
  }
  return *rows.device;
}

}  // namespace thaw
