#include "core/data/batch.h"

#include <ATen/ops/narrow.h>
#include <ATen/ops/sub.h>
#include <fmt/format.h>

#include <stdexcept>

namespace thaw {

Batch Batch::slice(std::int64_t first, std::int64_t last) const {
  if (first < 0 || first > last || last > size()) {
    throw std::out_of_range(
        fmt::format("Batch::slice({}, {}) of a batch of {}", first, last, size()));
  }
  Batch part;
  part.epoch = epoch;
  part.scale = scale;
  part.samples.assign(samples.begin() + first, samples.begin() + last);
  part.labels = labels.narrow(0, first, last - first);
  if (!offsets.defined()) {
    part.inputs = inputs.narrow(0, first, last - first);
    return part;
  }
  const auto* bounds = offsets.const_data_ptr<std::int64_t>();
  const std::int64_t begin = bounds[first];
  part.inputs = inputs.narrow(0, begin, bounds[last] - begin);
  if (types.defined()) part.types = types.narrow(0, begin, bounds[last] - begin);
  part.offsets = offsets.narrow(0, first, last - first + 1);
  if (begin != 0) part.offsets = part.offsets.sub(begin);
  return part;
}

}  // namespace thaw
