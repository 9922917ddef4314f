// `cosine-restarts`: Loshchilov and Hutter, SGDR, 2017: half a cosine from 1 to the final factor f
// over each of periods that follow one another, f + (1 − f)·(1 + cos πt/T) / 2 in step t of a
// period of T steps. The first has `period-steps` steps, each further one `period-growth` times as
// many as the one before. It has no end, so it needs no length.
#include <cmath>
#include <numbers>

#include "core/schedule/curves/curve.h"

namespace thaw {
namespace {

/// Where a curve is within its period, found from the step alone: a run that goes on in the middle
/// has nothing to remember. Exact, in whole numbers: with the bounds below they stay below 1e18.
CurvePlace place_in_period(std::int64_t step, std::int64_t period, std::int64_t growth) {
  if (growth == 1) return {step % period, period};
  while (step >= period) {
    step -= period;
    period *= growth;
  }
  return {step, period};
}

double cosine_restarts(const Curve& curve, const CurvePlace& place) {
  const CurvePlace within =
      place_in_period(place.step, std::llround(parameter_of(curve, "period-steps")),
                      std::llround(parameter_of(curve, "period-growth")));
  const double final_factor = parameter_of(curve, "final-factor");
  return final_factor +
         (1 - final_factor) * (1 + std::cos(std::numbers::pi * within.progress())) / 2;
}

}  // namespace

CurveShape cosine_restarts_curve() {
  return {"cosine-restarts",
          {{"period-steps", 1000, {.least = 1, .most = 1e15}, /*whole=*/true},
           {"period-growth", 1, {.least = 1, .most = 1000}, /*whole=*/true},
           like_option("final-factor")},
          /*has_end=*/false,
          cosine_restarts};
}

}  // namespace thaw
