#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "core/data/batch.h"
#include "core/data/loading/augmentation.h"
#include "core/data/loading/buffer_pool.h"
#include "core/data/loading/image_converter.h"

namespace thaw {

class Dataset;
class Split;

/// Makes batches of given samples, writing each tensor once. Not thread-safe: keeps buffers.
class BatchAssembler {
 public:
  /// `split` is one of `dataset`; both must outlive this. Throws `InputError` for an augmentation
  /// that does not fit the data.
  /// `for_gpu`: batches are to travel to one: images in pinned memory, bytes as bytes.
  BatchAssembler(const Dataset& dataset, const Split& split,
                 const AugmentationOptions& augmentation = {}, bool for_gpu = false);

  /// Throws `RunError`.
  Batch assemble(std::int64_t epoch, std::vector<std::int64_t> samples);

 private:
  void read_texts(Batch& batch);
  void read_images(Batch& batch);
  /// [n, C, H, W], channels last, to be filled.
  at::Tensor memory_for_images(std::int64_t count);
  /// How many samples from `first` on to read together, and makes the buffer large enough.
  std::int64_t next_group(const std::vector<std::int64_t>& samples, std::int64_t first);

  const Split& split_;
  AugmentationOptions augmentation_;
  bool augments_;
  bool for_gpu_;
  std::optional<ImageConverter> converter_;
  std::vector<std::byte> buffer_;  // as read, before conversion
  BufferPool images_;
  std::shared_ptr<const ImageScale> scale_;  // of bytes that stay bytes; else null
};

}  // namespace thaw
