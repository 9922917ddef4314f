#include "core/kernels/row_samples.h"

#include <c10/util/Exception.h>

#include <string>

namespace thaw {

bool rows_are_tokens(const SampleRows& rows, std::int64_t count) {
  if (!rows.offsets.empty() && count == rows.offsets.back()) {
    return true;
  }
  TORCH_CHECK(count == rows.size(), "keyed draws: a tensor of ", count, " rows for ", rows.size(),
              " samples",
              rows.offsets.empty() ? std::string()
                                   : " of " + std::to_string(rows.offsets.back()) + " tokens");
  return false;
}

}  // namespace thaw
