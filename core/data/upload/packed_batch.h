#pragma once

#include <ATen/core/Tensor.h>

#include <cstddef>
#include <optional>
#include <vector>

#include "core/data/batch.h"
#include "core/kernels/rows/device_rows.h"
#include "core/kernels/rows/tensor_pack.h"

namespace thaw {

/// All that a model, its kernels and its loss read of a batch, in one buffer on the host; images
/// alone stay beside it, where they were read to.
class PackedBatch {
 public:
  /// Copies from `batch`, whose tensors lie on the host. `pinned`: to travel to a GPU.
  PackedBatch(const Batch& batch, bool pinned);

  const at::Tensor& bytes() const { return bytes_; }
  /// The batch's images on the host; undefined where it has none.
  const at::Tensor& images() const { return images_; }
  const std::shared_ptr<const SizeClass>& size_class() const { return rest_.size_class; }

  /// The batch whose tensors are copies of `bytes()` and `images()` on one device: views of the
  /// first. `offsets`, which models read on the host, stay there.
  Batch view(const at::Tensor& device_bytes, const at::Tensor& device_images) const;

 private:
  std::size_t add(const at::Tensor& tensor);

  Batch rest_;  ///< what does not travel
  TensorPack pack_;
  std::size_t labels_ = 0;
  std::optional<std::size_t> tokens_, types_, scale_;
  std::optional<DeviceRowsPack> rows_;
  at::Tensor bytes_, images_;
};

}  // namespace thaw
