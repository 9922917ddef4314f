#pragma once

#include <optional>
#include <set>
#include <string_view>
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

/// "keep", "reset" or "keep-staying".
inline std::string_view name_of(OptimizerCarry carry) {
  static constexpr std::string_view kNames[] = {"keep", "reset", "keep-staying"};
  return kNames[static_cast<std::size_t>(carry)];
}
inline OptimizerCarry carry_named(std::string_view name) {
  for (const OptimizerCarry carry : {OptimizerCarry::kReset, OptimizerCarry::kKeepStaying}) {
    if (name_of(carry) == name) return carry;
  }
  return OptimizerCarry::kKeep;
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
      {"final-factor", &Curve::final_factor, {Shape::kLinear, Shape::kCosine, Shape::kPolynomial}},
      {"power", &Curve::power, {Shape::kPolynomial}},
      {"cut-fraction", &Curve::cut_fraction, {Shape::kSlantedTriangular}},
      {"ratio", &Curve::ratio, {Shape::kSlantedTriangular}},
  };
  return keys;
}

}  // namespace thaw
