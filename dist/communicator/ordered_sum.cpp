#include "dist/communicator/ordered_sum.h"

#include <c10/util/BFloat16.h>

#include <algorithm>
#include <array>

#include "core/base/error.h"

namespace thaw {

namespace {

/// A block at a time: what is added up stays in cache, and the loops over it are the compiler's to
/// make wide.
template <typename Element, typename Wide>
void add_blocks(std::span<const void* const> sources, void* target, std::int64_t length) {
  constexpr std::int64_t kBlock = 2048;
  std::array<Wide, kBlock> sum;
  for (std::int64_t begin = 0; begin < length; begin += kBlock) {
    const auto count = static_cast<std::size_t>(std::min(kBlock, length - begin));
    const auto* first = static_cast<const Element*>(sources.front()) + begin;
    for (std::size_t i = 0; i < count; ++i) sum[i] = static_cast<Wide>(first[i]);
    for (const void* source : sources.subspan(1)) {
      const auto* next = static_cast<const Element*>(source) + begin;
      for (std::size_t i = 0; i < count; ++i) sum[i] += static_cast<Wide>(next[i]);
    }
    auto* to = static_cast<Element*>(target) + begin;
    for (std::size_t i = 0; i < count; ++i) to[i] = static_cast<Element>(sum[i]);
  }
}

}  // namespace

void add_in_order(std::span<const void* const> sources, void* target, std::int64_t length,
                  c10::ScalarType type) {
  switch (type) {
    case c10::ScalarType::Float:
      return add_blocks<float, float>(sources, target, length);
    case c10::ScalarType::Double:
      return add_blocks<double, double>(sources, target, length);
    case c10::ScalarType::BFloat16:
      return add_blocks<c10::BFloat16, float>(sources, target, length);
    case c10::ScalarType::Long:
      return add_blocks<std::int64_t, std::int64_t>(sources, target, length);
    default:
      throw RunError("sums to slices: cannot add up this element type");
  }
}

}  // namespace thaw
