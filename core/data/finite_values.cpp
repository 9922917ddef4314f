#include "core/data/finite_values.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <span>
#include <vector>

#include "core/base/error.h"
#include "core/data/dataset.h"

namespace thaw {
namespace {

/// Read at a time.
constexpr std::int64_t kPieceBytes = 4 << 20;

/// Without a branch for each value, so that it runs as fast as memory is read.
bool all_finite(std::span<const float> values) {
  bool all = true;
  for (const float value : values) all &= std::isfinite(value);
  return all;
}

}  // namespace

void require_finite_values(const Dataset& dataset, const std::string& name) {
  const Split& split = dataset.split(name);
  const SampleFormat& format = split.format();
  if (format.kind != DataKind::kImages || format.bytes) return;
  const std::int64_t elements = format.image_elements();
  const std::int64_t step =
      std::max<std::int64_t>(1, kPieceBytes / (elements * format.element_bytes()));
  std::vector<float> values;
  for (std::int64_t first = 0; first < split.size(); first += step) {
    std::vector<std::int64_t> samples(
        static_cast<std::size_t>(std::min(step, split.size() - first)));
    std::iota(samples.begin(), samples.end(), first);
    values.resize(samples.size() * static_cast<std::size_t>(elements));
    split.read(samples, reinterpret_cast<std::byte*>(values.data()));
    if (all_finite(values)) continue;
    const auto bad =
        std::find_if(values.begin(), values.end(), [](float v) { return !std::isfinite(v); });
    throw InputError(fmt::format(
        "{}: /{}/inputs: sample {} holds {}; pixels must be finite: mend the sample or leave it "
        "out",
        fmt::join(dataset.files(), ", "), name, first + (bad - values.begin()) / elements, *bad));
  }
}

}  // namespace thaw
