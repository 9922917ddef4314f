#pragma once

#include <optional>
#include <set>
#include <vector>

#include "core/schedule/schedule.h"

namespace thaw {

/// A key of a stage that overrides the option of `[train]` with the same name, and its bounds.
struct OverrideKey {
  const char* key;
  std::optional<double> StageOverrides::*member;
};
inline const std::vector<OverrideKey>& override_keys() {
  static const std::vector<OverrideKey> keys = {
      {"weight-decay", &StageOverrides::weight_decay},
      {"beta1", &StageOverrides::beta1},
      {"beta2", &StageOverrides::beta2},
      {"epsilon", &StageOverrides::epsilon},
      {"momentum", &StageOverrides::momentum},
      {"clip-norm", &StageOverrides::clip_norm},
      {"label-smoothing", &StageOverrides::label_smoothing},
  };
  return keys;
}

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
      {"final-factor", &Curve::final_factor, {Shape::kLinear, Shape::kCosine}},
      {"cut-fraction", &Curve::cut_fraction, {Shape::kSlantedTriangular}},
      {"ratio", &Curve::ratio, {Shape::kSlantedTriangular}},
  };
  return keys;
}

}  // namespace thaw
