#include "core/record/observer.h"

#include <limits>

namespace thaw {

double EvaluationReport::figure(std::string_view name) const {
  for (const Figure& each : figures) {
    if (each.name == name) return each.value;
  }
  return std::numeric_limits<double>::quiet_NaN();
}

}  // namespace thaw
