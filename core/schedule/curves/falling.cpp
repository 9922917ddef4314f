// The curves of one formula over the progress p, from 0 to 1:
// - constant: 1
// - linear: from 1 to the final factor f, 1 − (1 − f)·p
// - cosine: half a cosine from 1 to f, f + (1 − f)·(1 + cos πp) / 2 (Loshchilov and Hutter, SGDR,
//   2017, equation 5, without restarts)
// - polynomial: f + (1 − f)·(1 − p)^power
#include <cmath>
#include <numbers>

#include "core/schedule/curves/curve.h"

namespace thaw {
namespace {

double constant(const Curve& /*curve*/, const CurvePlace& /*place*/) { return 1; }

double linear(const Curve& curve, const CurvePlace& place) {
  return 1 - (1 - parameter_of(curve, "final-factor")) * place.progress();
}

double cosine(const Curve& curve, const CurvePlace& place) {
  const double final_factor = parameter_of(curve, "final-factor");
  return final_factor +
         (1 - final_factor) * (1 + std::cos(std::numbers::pi * place.progress())) / 2;
}

double polynomial(const Curve& curve, const CurvePlace& place) {
  const double final_factor = parameter_of(curve, "final-factor");
  return final_factor +
         (1 - final_factor) * std::pow(1 - place.progress(), parameter_of(curve, "power"));
}

}  // namespace

CurveShape constant_curve() { return {"constant", {}, /*has_end=*/false, constant}; }
CurveShape linear_curve() {
  return {"linear", {like_option("final-factor")}, /*has_end=*/true, linear};
}
CurveShape cosine_curve() {
  return {"cosine", {like_option("final-factor")}, /*has_end=*/true, cosine};
}
CurveShape polynomial_curve() {
  return {"polynomial",
          {like_option("final-factor"), like_option("power")},
          /*has_end=*/true,
          polynomial};
}

}  // namespace thaw
