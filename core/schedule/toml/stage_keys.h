#pragma once

#include <set>
#include <vector>

#include "core/schedule/schedule.h"

namespace thaw {

/// A key of a curve that only some shapes have. Its bounds are those of the option of `[schedule]`
/// with the same name.
struct CurveKey {
  const char* key;
  double Curve::*member;
  std::set<Curve::Shape> shapes;
};
inline const std::vector<CurveKey>& curve_keys() {
  using Shape = Curve::Shape;
  static const std::vector<CurveKey> keys = {
      {"final-factor", &Curve::final_factor, {Shape::kLinear, Shape::kCosine, Shape::kPolynomial}},
      {"power", &Curve::power, {Shape::kPolynomial}},
      {"cut-fraction", &Curve::cut_fraction, {Shape::kSlantedTriangular}},
      {"ratio", &Curve::ratio, {Shape::kSlantedTriangular}},
  };
  return keys;
}

}  // namespace thaw
