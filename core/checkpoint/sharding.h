#pragma once

#include <cstdint>
#include <vector>

namespace thaw {

/// Which rank writes which tensor: `result[i]` for tensor i of `bytes[i]`. Replicas are equal, so
/// any rank could; each gets about the same number of bytes. Pure, and so the same on all ranks.
std::vector<int> assign_writers(const std::vector<std::int64_t>& bytes, int ranks);

}  // namespace thaw
