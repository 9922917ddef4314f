#pragma once

#include <string>
#include <vector>

namespace thaw {

/// "rank 3" or "ranks 0-2, 5", from ranks in ascending order, for messages.
std::string rank_list(const std::vector<int>& ranks);

}  // namespace thaw
