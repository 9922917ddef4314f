#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/schedule/schedule.h"

namespace thaw {

/// The factor on every group's learning rate in step `step` (from 0) of a stage, in [0, 1].
///
/// `length` is the stage's number of steps, of which a `curve.steps` above 0 takes the place.
/// Steps past the length keep the last value.
///
/// Warm-up of w steps, for every shape: step t < w has (t + 1) / (w + 1) of the shape's first
/// value; the shape then runs over the L − w steps that are left, with progress
/// p = (t − w) / (L − w):
/// - constant: 1
/// - linear: from 1 to `final_factor`, 1 − (1 − f)·p
/// - cosine: half a cosine from 1 to `final_factor`, f + (1 − f)·(1 + cos πp) / 2 (Loshchilov and
///   Hutter, SGDR, 2017, equation 5, without restarts)
/// - polynomial: f + (1 − f)·(1 − p)^power
/// - slanted triangular: Howard and Ruder, ULMFiT, 2018, section 3.2: a short linear rise over
///   `cut_fraction` of the steps from 1 / `ratio` to 1, then a long linear fall back
double curve_factor(const Curve& curve, std::int64_t step, std::int64_t length);

/// The same for one group, which may have a length of its own (`curve.group_steps`).
double curve_factor(const Curve& curve, const std::string& group, std::int64_t step,
                    std::int64_t length);

/// Steps of warm-up of a curve over a stage of `length` steps.
std::int64_t warmup_steps(const Curve& curve, std::int64_t length);

/// Whether the curve takes its length from the stage, so that there must be one.
bool needs_length(const Curve& curve);

/// "constant", "linear", "cosine", "slanted-triangular", "polynomial".
std::string_view name_of(Curve::Shape shape);

/// All shapes, in the order of their names above.
const std::vector<Curve::Shape>& curve_shapes();

}  // namespace thaw
