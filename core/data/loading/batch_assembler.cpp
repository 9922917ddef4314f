#include "core/data/loading/batch_assembler.h"

#include <ATen/ops/empty.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cstring>
#include <span>
#include <stdexcept>
#include <utility>

#include "core/base/error.h"
#include "core/data/dataset.h"
#include "core/data/upload/batch_upload.h"

namespace thaw {
namespace {

/// Read before it is converted: enough to merge neighbours into one read, and small enough to be
/// converted out of the processor's cache.
constexpr std::int64_t kGroupBytes = 256 << 10;

void check(const AugmentationOptions& options, const SampleFormat& format) {
  if (options.crop_padding == 0 && !options.horizontal_flip) return;
  if (format.kind != DataKind::kImages) {
    throw InputError(
        "data.crop-padding and data.horizontal-flip are for images; this data is text");
  }
  const std::int64_t limit = std::min(format.height, format.width);
  if (options.crop_padding < 0 || options.crop_padding >= limit) {
    throw InputError(
        fmt::format("data.crop-padding is {}, must be from 0 to less than the images' "
                    "size, {}",
                    options.crop_padding, limit));
  }
}

/// int32 to int64. Returns whether one of them is negative.
bool widen(const std::byte* tokens, std::int64_t count, std::int64_t* result) {
  std::int32_t all = 0;
  for (std::int64_t i = 0; i < count; ++i) {
    std::int32_t token;
    std::memcpy(&token, tokens + i * sizeof(token), sizeof(token));
    all |= token;
    result[i] = token;
  }
  return all < 0;
}

/// To be filled: classes and prompts int64 [n]; classes of tokens int64 [T]; flags uint8 [n, C];
/// numbers float32 [n, K].
at::Tensor memory_for_labels(const Labels& labels, const Batch& batch) {
  switch (labels.type()) {
    case LabelType::kClass:
    case LabelType::kPrompts:
      return at::empty({batch.size()}, at::kLong);
    case LabelType::kTokens:
      return at::empty({batch.inputs.numel()}, at::kLong);
    case LabelType::kFlags:
      return at::empty({batch.size(), labels.width()}, at::kByte);
    case LabelType::kValues:
      return at::empty({batch.size(), labels.width()}, at::kFloat);
  }
  return {};
}

/// Of each sample, int64; undefined where the file tells none.
at::Tensor bytes_of(const Split& split, const Batch& batch) {
  if (!split.format().counts_bytes) return {};
  at::Tensor result = at::empty({batch.size()}, at::kLong);
  auto* to = result.mutable_data_ptr<std::int64_t>();
  for (const std::int64_t sample : batch.samples) {
    *to++ = split.bytes()[static_cast<std::size_t>(sample)];
  }
  return result;
}

/// Of the tokens of the batch, whose offsets are there.
at::Tensor types_of(const Split& split, const Batch& batch) {
  const auto* offsets = batch.offsets.const_data_ptr<std::int64_t>();
  at::Tensor result = at::empty({offsets[batch.size()]}, at::kLong);
  auto* to = result.mutable_data_ptr<std::int64_t>();
  for (const std::int64_t sample : batch.samples) {
    const auto first = split.types().begin() + split.offsets()[sample];
    to = std::copy_n(first, split.elements(sample), to);
  }
  return result;
}

}  // namespace

BatchAssembler::BatchAssembler(const Dataset& dataset, const Split& split,
                               const AugmentationOptions& augmentation, bool for_gpu)
    : split_(split),
      augmentation_(augmentation),
      augments_(augmentation.crop_padding > 0 || augmentation.horizontal_flip),
      for_gpu_(for_gpu) {
  if (!split.prepared()) {
    throw std::logic_error("split " + split.name() + ": prepare() before reading");
  }
  check(augmentation, split.format());
  if (split.format().kind == DataKind::kImages) {
    converter_.emplace(split.format(), dataset.mean(), dataset.std_deviation());
    if (for_gpu && split.format().bytes) {
      scale_ = std::make_shared<const ImageScale>(converter_->scale());
    }
  }
}

Batch BatchAssembler::assemble(std::int64_t epoch, std::vector<std::int64_t> samples) {
  Batch batch;
  batch.epoch = epoch;
  batch.samples = std::move(samples);
  if (split_.format().kind == DataKind::kText) {
    read_texts(batch);
  } else {
    read_images(batch);
  }
  const Labels& labels = split_.labels();
  batch.labels = memory_for_labels(labels, batch);
  labels.copy(batch.samples, static_cast<std::byte*>(batch.labels.mutable_data_ptr()));
  batch.labels_of_tokens = labels.type() == LabelType::kTokens;
  batch.labels_of_prompts = labels.type() == LabelType::kPrompts;
  batch.bytes = bytes_of(split_, batch);
  return batch;
}

std::int64_t BatchAssembler::next_group(const std::vector<std::int64_t>& samples,
                                        std::int64_t first) {
  std::int64_t bytes = 0;
  std::int64_t last = first;
  while (last < static_cast<std::int64_t>(samples.size()) &&
         (last == first || bytes < kGroupBytes)) {
    bytes += split_.elements(samples[last++]) * split_.format().element_bytes();
  }
  if (static_cast<std::int64_t>(buffer_.size()) < bytes) buffer_.resize(bytes);
  return last - first;
}

void BatchAssembler::read_texts(Batch& batch) {
  batch.offsets = at::empty({batch.size() + 1}, at::kLong);
  auto* offsets = batch.offsets.mutable_data_ptr<std::int64_t>();
  offsets[0] = 0;
  for (std::int64_t i = 0; i < batch.size(); ++i) {
    offsets[i + 1] = offsets[i] + split_.elements(batch.samples[i]);
  }
  if (split_.format().pairs) batch.types = types_of(split_, batch);
  batch.inputs = at::empty({offsets[batch.size()]}, at::kLong);
  auto* tokens = batch.inputs.mutable_data_ptr<std::int64_t>();
  for (std::int64_t i = 0; i < batch.size();) {
    const std::int64_t count = next_group(batch.samples, i);
    split_.read(std::span(batch.samples).subspan(i, count), buffer_.data());
    if (widen(buffer_.data(), offsets[i + count] - offsets[i], tokens + offsets[i])) {
      throw RunError(fmt::format("split {}: a negative token in samples {}", split_.name(),
                                 fmt::join(std::span(batch.samples).subspan(i, count), ", ")));
    }
    i += count;
  }
}

at::Tensor BatchAssembler::memory_for_images(std::int64_t count) {
  const SampleFormat& format = split_.format();
  if (for_gpu_) {
    return image_memory({count, format.channels, format.height, format.width},
                        scale_ != nullptr ? at::kByte : at::kFloat, /*pinned=*/true);
  }
  return images_.take(count * format.image_elements())
      .view({count, format.height, format.width, format.channels})
      .permute({0, 3, 1, 2});
}

void BatchAssembler::read_images(Batch& batch) {
  const SampleFormat& format = split_.format();
  const std::int64_t elements = format.image_elements();
  batch.inputs = memory_for_images(batch.size());
  batch.scale = scale_;
  for (std::int64_t i = 0; i < batch.size();) {
    const std::int64_t count = next_group(batch.samples, i);
    split_.read(std::span(batch.samples).subspan(i, count), buffer_.data());
    for (std::int64_t k = 0; k < count; ++k, ++i) {
      const Augmentation augmentation =
          augments_ ? draw_augmentation(augmentation_, batch.epoch, batch.samples[i])
                    : Augmentation();
      const std::byte* image = buffer_.data() + k * elements * format.element_bytes();
      if (scale_ != nullptr) {
        converter_->place(image, augmentation,
                          batch.inputs.mutable_data_ptr<std::uint8_t>() + i * elements);
      } else {
        converter_->convert(image, augmentation,
                            batch.inputs.mutable_data_ptr<float>() + i * elements);
      }
    }
  }
}

}  // namespace thaw
