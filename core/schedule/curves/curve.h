#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/config/option_table.h"
#include "core/schedule/schedule.h"

namespace thaw {

// Note [Curves]
// A curve gives the factor on every group's learning rate, in [0, 1], in each step of a stage: a
// warm-up of w steps, the same for all, and then a shape over the L − w steps that are left. In
// step t < w the factor is (t + 1) / (w + 1) of the shape's first value. Steps past the length keep
// the last value.
//
// Each shape is a file in this folder (or a few that are one formula each), which says what the
// factor is and which parameters it has. Nothing else knows the shapes by name but the list in
// curves.inc.

/// A key of a curve's table that only some shapes have.
struct CurveParameter {
  std::string key;
  double standard = 0;
  Range range = {};
  bool whole = false;  ///< a whole number
};

/// The parameter that an option of `[schedule]` says for presets: its name, default and bounds.
CurveParameter like_option(const char* key);

/// Where in its shape a curve is.
struct CurvePlace {
  std::int64_t step = 0;    ///< since the warm-up's end; at most the length where there is one
  std::int64_t length = 1;  ///< steps after the warm-up

  /// From 0 to 1.
  double progress() const { return static_cast<double>(step) / static_cast<double>(length); }
};

/// One entry of the list of curves.
struct CurveShape {
  const char* name;
  std::vector<CurveParameter> parameters = {};
  bool has_end = true;  ///< it runs over a length, so that there must be one
  /// A pure function of the curve's parameters and the place.
  double (*factor)(const Curve& curve, const CurvePlace& place);
};

/// All shapes, in the order in which messages list them.
const std::vector<CurveShape>& curve_shapes();
/// Null where there is none of this name.
const CurveShape* find_curve_shape(const std::string& name);
std::vector<std::string> curve_names();

/// The value of a parameter of the curve's shape, its standard where the curve says none.
double parameter_of(const Curve& curve, const std::string& key);

/// The factor in step `step` (from 0) of a stage. `length` is the stage's number of steps, of which
/// a `curve.steps` above 0 takes the place.
double curve_factor(const Curve& curve, std::int64_t step, std::int64_t length);

/// The same for one group, which may have a length of its own (`curve.group_steps`).
double curve_factor(const Curve& curve, const std::string& group, std::int64_t step,
                    std::int64_t length);

/// Steps of warm-up of a curve over a stage of `length` steps.
std::int64_t warmup_steps(const Curve& curve, std::int64_t length);

/// Whether the curve takes its length from the stage, so that there must be one.
bool needs_length(const Curve& curve);

/// The curve as TOML, every default explicit, whether it is continued or not.
std::string toml_text(const Curve& curve);

}  // namespace thaw
