#include "launch/price/price.h"

#include <algorithm>

namespace thaw {

double StagePrice::seconds() const {
  if (steps == 0) return 0;
  return steps_seconds + transition_seconds + cache_seconds + evaluation_seconds + saving_seconds;
}

double Price::seconds() const {
  double sum = 0;
  for (const StagePrice& stage : stages) sum += stage.seconds();
  return sum;
}

std::int64_t Price::steps() const {
  std::int64_t sum = 0;
  for (const StagePrice& stage : stages) sum += stage.steps;
  return sum;
}

std::int64_t Price::memory_bytes() const {
  std::int64_t most = 0;
  for (const StagePrice& stage : stages) most = std::max(most, stage.memory_bytes);
  return most;
}

}  // namespace thaw
