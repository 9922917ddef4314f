#include "core/data/upload/packed_batch.h"

#include <span>
#include <utility>

#include "core/data/size_class.h"
#include "core/data/upload/image_scale.h"

namespace thaw {
namespace {

std::span<const std::int64_t> numbers_of(const at::Tensor& tensor) {
  if (!tensor.defined()) return {};
  return {tensor.const_data_ptr<std::int64_t>(), static_cast<std::size_t>(tensor.numel())};
}

}  // namespace

std::size_t PackedBatch::add(const at::Tensor& tensor) {
  return pack_.add(tensor.scalar_type(), tensor.sizes().vec());
}

PackedBatch::PackedBatch(const Batch& batch, bool pinned) : labels_(add(batch.labels)) {
  rest_.epoch = batch.epoch;
  rest_.samples = batch.samples;
  rest_.offsets = batch.offsets;
  rest_.bytes = batch.bytes;
  rest_.labels_of_tokens = batch.labels_of_tokens;
  rest_.labels_of_prompts = batch.labels_of_prompts;
  rest_.size_class = batch.size_class;
  const bool is_text = batch.offsets.defined();
  const at::Tensor scale = batch.scale != nullptr ? batch.scale->numbers() : at::Tensor();
  const at::Tensor offsets = is_text ? batch.offsets.contiguous() : at::Tensor();
  const at::Tensor tokens = is_text ? batch.inputs.contiguous() : at::Tensor();
  if (is_text) tokens_ = add(tokens);
  if (batch.types.defined()) types_ = add(batch.types);
  if (scale.defined()) scale_ = add(scale);
  if (!is_text) images_ = batch.inputs;
  RowIndex index = row_index(numbers_of(offsets), numbers_of(tokens));
  if (batch.size_class != nullptr) index.longest = batch.size_class->longest;
  std::optional<CountedRows> counted;
  if (batch.labels_of_prompts) {
    const at::Tensor prompts = batch.labels.contiguous();
    counted = counted_rows(numbers_of(tokens), numbers_of(prompts), numbers_of(offsets));
  }
  rows_.emplace(pack_, batch.samples, std::move(index), std::move(counted));

  bytes_ = pack_.allocate(pinned);
  pack_.view(bytes_, labels_).copy_(batch.labels);
  if (tokens_) pack_.view(bytes_, *tokens_).copy_(tokens);
  if (types_) pack_.view(bytes_, *types_).copy_(batch.types);
  if (scale_) pack_.view(bytes_, *scale_).copy_(scale);
  rows_->write(pack_, bytes_, batch.samples);
}

Batch PackedBatch::view(const at::Tensor& device_bytes, const at::Tensor& device_images) const {
  Batch batch = rest_;
  batch.labels = pack_.view(device_bytes, labels_);
  if (tokens_) batch.inputs = pack_.view(device_bytes, *tokens_);
  if (types_) batch.types = pack_.view(device_bytes, *types_);
  if (!tokens_) {
    batch.inputs =
        scale_ ? scaled_images(device_images, pack_.view(device_bytes, *scale_)) : device_images;
  }
  batch.rows = rows_->view(pack_, device_bytes);
  return batch;
}

}  // namespace thaw
