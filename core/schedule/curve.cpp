#include "core/schedule/curve.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace thaw {
namespace {

double linear(double progress, double final_factor) { return 1 - (1 - final_factor) * progress; }

double cosine(double progress, double final_factor) {
  return final_factor + (1 - final_factor) * (1 + std::cos(std::numbers::pi * progress)) / 2;
}

/// ULMFiT's equation 3. Its fall is written there as 1 − (t − cut) / (cut·(1/cut_frac − 1)), which
/// passes below zero where flooring `cut` shortened the denominator; over the T − cut steps that
/// are left, as here, it is the same where nothing was floored.
double slanted_triangular(const Curve& curve, std::int64_t step, std::int64_t length) {
  const double cut = std::floor(static_cast<double>(length) * curve.cut_fraction);
  const double t = static_cast<double>(step);
  const double p = t < cut ? t / cut : 1 - (t - cut) / (static_cast<double>(length) - cut);
  return (1 + p * (curve.ratio - 1)) / curve.ratio;
}

double shape_factor(const Curve& curve, std::int64_t step, std::int64_t length) {
  const double progress = static_cast<double>(step) / static_cast<double>(length);
  switch (curve.shape) {
    case Curve::Shape::kConstant:
      return 1;
    case Curve::Shape::kLinear:
      return linear(progress, curve.final_factor);
    case Curve::Shape::kCosine:
      return cosine(progress, curve.final_factor);
    case Curve::Shape::kPolynomial:
      return curve.final_factor + (1 - curve.final_factor) * std::pow(1 - progress, curve.power);
    case Curve::Shape::kSlantedTriangular:
      return slanted_triangular(curve, step, length);
  }
  return 1;
}

}  // namespace

double curve_factor(const Curve& curve, std::int64_t step, std::int64_t length) {
  if (curve.steps > 0) length = curve.steps;
  const std::int64_t warmup = warmup_steps(curve, length);
  const std::int64_t main_length = std::max<std::int64_t>(length - warmup, 1);
  if (step < warmup) {
    const double rise = static_cast<double>(step + 1) / static_cast<double>(warmup + 1);
    return rise * shape_factor(curve, 0, main_length);
  }
  return shape_factor(curve, std::min(step - warmup, main_length), main_length);
}

double curve_factor(const Curve& curve, const std::string& group, std::int64_t step,
                    std::int64_t length) {
  const auto own = curve.group_steps.find(group);
  if (own == curve.group_steps.end()) return curve_factor(curve, step, length);
  Curve of_group = curve;
  of_group.steps = own->second;
  return curve_factor(of_group, step, own->second);
}

std::int64_t warmup_steps(const Curve& curve, std::int64_t length) {
  if (curve.warmup_steps > 0) return curve.warmup_steps;
  return std::llround(curve.warmup_fraction * static_cast<double>(length));
}

bool needs_length(const Curve& curve) {
  const bool by_fraction = curve.warmup_fraction > 0 && curve.warmup_steps == 0;
  return curve.steps == 0 && (curve.shape != Curve::Shape::kConstant || by_fraction);
}

std::string_view name_of(Curve::Shape shape) {
  static constexpr std::string_view kNames[] = {"constant", "linear", "cosine",
                                                "slanted-triangular", "polynomial"};
  return kNames[static_cast<std::size_t>(shape)];
}

const std::vector<Curve::Shape>& curve_shapes() {
  using Shape = Curve::Shape;
  static const std::vector<Shape> shapes = {Shape::kConstant, Shape::kLinear, Shape::kCosine,
                                            Shape::kSlantedTriangular, Shape::kPolynomial};
  return shapes;
}

}  // namespace thaw
