#include "core/record/number_text.h"

#include <fmt/format.h>

#include <cmath>

namespace thaw {

std::string number_text(double value, int digits) {
  const double size = std::abs(value);
  return size >= 1e3 && size < 1e7 ? fmt::format("{:.0f}", value)
                                   : fmt::format("{:.{}g}", value, digits);
}

}  // namespace thaw
