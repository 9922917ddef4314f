// `slanted-triangular`: Howard and Ruder, ULMFiT, 2018, section 3.2: a short linear rise over
// `cut-fraction` of the steps from 1 / `ratio` to 1, then a long linear fall back.
#include <cmath>

#include "core/schedule/curves/curve.h"

namespace thaw {
namespace {

/// ULMFiT's equation 3. Its fall is written there as 1 − (t − cut) / (cut·(1/cut_frac − 1)), which
/// passes below zero where flooring `cut` shortened the denominator; over the T − cut steps that
/// are left, as here, it is the same where nothing was floored.
double slanted_triangular(const Curve& curve, const CurvePlace& place) {
  const auto length = static_cast<double>(place.length);
  const double ratio = parameter_of(curve, "ratio");
  const double cut = std::floor(length * parameter_of(curve, "cut-fraction"));
  const auto t = static_cast<double>(place.step);
  const double p = t < cut ? t / cut : 1 - (t - cut) / (length - cut);
  return (1 + p * (ratio - 1)) / ratio;
}

}  // namespace

CurveShape slanted_triangular_curve() {
  return {"slanted-triangular",
          {like_option("cut-fraction"), like_option("ratio")},
          /*has_end=*/true,
          slanted_triangular};
}

}  // namespace thaw
