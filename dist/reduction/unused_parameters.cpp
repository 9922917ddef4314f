#include "dist/reduction/unused_parameters.h"

#include <fmt/format.h>

#include "core/base/error.h"

namespace thaw {

// The flags are equal on all ranks, so all of them throw together.
void refuse_unused(std::span<const double> flags, std::span<const NamedParameter> active,
                   const std::string& parts) {
  const double took_part = flags.back();
  for (std::size_t i = 0; i < active.size(); ++i) {
    if (flags[i] >= took_part) continue;
    RunError error(fmt::format(
        "parameter \"{}\" is active but got a gradient on {} of the {} {} that had samples; "
        "freeze it, or set distributed.unused to \"allow\" to count it as zero there",
        active[i].name, flags[i], took_part, parts));
    error.mark_agreed();
    throw error;
  }
}

}  // namespace thaw
