#include "core/data/batch.h"

#include <ATen/ops/narrow.h>
#include <ATen/ops/sub.h>
#include <fmt/format.h>

#include <algorithm>
#include <span>
#include <stdexcept>

#include "core/data/counted_tokens.h"
#include "core/data/labels.h"
#include "core/data/size_class.h"

namespace thaw {

std::int64_t Batch::counted() const {
  return size() - (size_class != nullptr ? size_class->fillers : 0);
}

Batch Batch::slice(std::int64_t first, std::int64_t last) const {
  if (first < 0 || first > last || last > size()) {
    throw std::out_of_range(
        fmt::format("Batch::slice({}, {}) of a batch of {}", first, last, size()));
  }
  Batch part;
  part.epoch = epoch;
  part.scale = scale;
  part.samples.assign(samples.begin() + first, samples.begin() + last);
  part.labels_of_tokens = labels_of_tokens;
  part.labels_of_prompts = labels_of_prompts;
  if (!labels_of_tokens) part.labels = labels.narrow(0, first, last - first);
  if (bytes.defined()) part.bytes = bytes.narrow(0, first, last - first);
  if (!offsets.defined()) {
    part.inputs = inputs.narrow(0, first, last - first);
    return part;
  }
  const auto* bounds = offsets.const_data_ptr<std::int64_t>();
  const std::int64_t begin = bounds[first];
  part.inputs = inputs.narrow(0, begin, bounds[last] - begin);
  if (labels_of_tokens) part.labels = labels.narrow(0, begin, bounds[last] - begin);
  if (types.defined()) part.types = types.narrow(0, begin, bounds[last] - begin);
  part.offsets = offsets.narrow(0, first, last - first + 1);
  if (begin != 0) part.offsets = part.offsets.sub(begin);
  return part;
}

std::int64_t counted_tokens(const Batch& batch) {
  const at::Tensor labels = batch.labels.contiguous();
  const std::span<const std::int64_t> numbers(labels.const_data_ptr<std::int64_t>(),
                                              static_cast<std::size_t>(labels.numel()));
  if (batch.labels_of_tokens) {
    return std::count_if(numbers.begin(), numbers.end(),
                         [](std::int64_t label) { return label != kNotCounted; });
  }
  const auto* offsets = batch.offsets.const_data_ptr<std::int64_t>();
  std::int64_t count = 0;
  for (std::size_t i = 0; i < numbers.size(); ++i) {
    count += counted_next_tokens(offsets[i + 1] - offsets[i], numbers[i]);
  }
  return count;
}

}  // namespace thaw
