#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "core/kernels/rows/counted_rows.h"
#include "core/kernels/rows/row_index.h"
#include "core/kernels/rows/tensor_pack.h"

namespace thaw {

struct SampleRows;

/// A micro-batch's rows where the kernels of a GPU read them: made once, not at every use. Views of
/// the one buffer that a batch travels in, in places that follow from the samples' lengths alone.
///
/// Undefined: `offsets`, `owners`, `places` where a row is a sample; `tokens_by_word` where no
/// words are known; what is counted, where no prompts are. What each holds, RowIndex and
/// CountedRows say.
struct DeviceRows {
  std::int64_t longest = 0;   ///< tokens that kernels are launched for: of a sample, at least
  at::Tensor samples;         ///< int64 [n], the index in the dataset of each sample
  at::Tensor offsets;         ///< int32 [n + 1]; what flash attention calls cu_seqlens
  at::Tensor owners;          ///< int32 [T]
  at::Tensor places;          ///< int32 [T]
  at::Tensor tokens_by_word;  ///< int32 [T]
  at::Tensor counted_rows, counted_targets, counted_owners, counted_slots;  ///< int64 [C]
};

/// The parts of a pack that a micro-batch's rows take: added to it first, written to its buffer on
/// the host, and viewed in the copy on the device.
class DeviceRowsPack {
 public:
  /// `samples` are copied later, by `write`; `index` and `counted` as row_index and counted_rows
  /// made them.
  DeviceRowsPack(TensorPack& pack, std::span<const std::int64_t> samples, RowIndex index,
                 std::optional<CountedRows> counted = {});

  void write(const TensorPack& pack, const at::Tensor& host_bytes,
             std::span<const std::int64_t> samples) const;
  std::shared_ptr<const DeviceRows> view(const TensorPack& pack,
                                         const at::Tensor& device_bytes) const;

 private:
  RowIndex index_;
  std::optional<CountedRows> counted_;
  std::size_t first_ = 0;  ///< number of the first part; the others follow
};

/// `rows` on `device`: what came with the batch, or else one upload that blocks, at the first use.
/// Of one set of rows, the first use is over before another thread asks (a forward before its
/// backward).
const DeviceRows& on_device(const SampleRows& rows, const at::Device& device);

}  // namespace thaw
