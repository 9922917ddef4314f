#include "launch/report/overfitting.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstddef>

namespace thaw {
namespace {

constexpr double kClearlyWorse = 0.02;
constexpr std::size_t kEvaluationsToTell = 2;

bool lower(const FitPoint& a, const FitPoint& b) {
  if (!std::isfinite(a.validation_loss)) return false;
  return !std::isfinite(b.validation_loss) || a.validation_loss < b.validation_loss;
}

/// "from 0.1234 to 0.2345 (+90 %)"
std::string change_text(double from, double to) {
  const double percent = from != 0 ? 100 * (to - from) / std::abs(from) : 0;
  return fmt::format("from {:.4f} to {:.4f} ({:+.0f} %)", from, to, percent);
}

}  // namespace

FitVerdict judge_fit(const std::vector<FitPoint>& points) {
  if (points.empty()) {
    return {Fit::kTooEarly, 0,
            "No evaluation on a validation split, so nothing tells whether "
            "what is learnt holds elsewhere."};
  }
  const FitPoint& last = points.back();
  const auto best = std::min_element(points.begin(), points.end(), lower);
  if (!std::isfinite(last.validation_loss)) {
    const bool ever = std::isfinite(best->validation_loss);
    return {Fit::kBroken, ever ? best->step : 0,
            fmt::format(
                "At step {} the validation loss is no number. Lower the learning rate, or "
                "set train.clip-norm.{}",
                last.step,
                ever ? fmt::format(" The best weights are those of step {}.", best->step) : "")};
  }
  if (points.size() < kEvaluationsToTell + 1) {
    return {Fit::kTooEarly, best->step,
            fmt::format("{} evaluation{}: too few to tell whether it overfits.", points.size(),
                        points.size() == 1 ? "" : "s")};
  }
  const auto since = static_cast<std::size_t>(points.end() - best) - 1;
  const double rise = last.validation_loss - best->validation_loss;
  const bool worse =
      since >= kEvaluationsToTell && rise > kClearlyWorse * std::abs(best->validation_loss);
  if (since == 0) {
    return {Fit::kImproving, best->step,
            fmt::format("The newest evaluation, at step {}, is the best: no overfitting so far.",
                        best->step)};
  }
  if (!worse) {
    return {since >= kEvaluationsToTell ? Fit::kLevelled : Fit::kImproving, best->step,
            fmt::format("Validation has not improved since step {} ({} evaluation{}), and is not "
                        "clearly worse: no overfitting so far, but little is left to gain in this "
                        "way.",
                        best->step, since, since == 1 ? "" : "s")};
  }
  const std::string validation = change_text(best->validation_loss, last.validation_loss);
  const bool known = std::isfinite(best->train_loss) && std::isfinite(last.train_loss);
  if (known && last.train_loss >= best->train_loss) {
    return {Fit::kWorsening, best->step,
            fmt::format("Since step {} both got worse: validation loss went {}, training loss {}. "
                        "That is not overfitting; the learning rate may be too high. The best "
                        "weights are those of step {}.",
                        best->step, validation, change_text(best->train_loss, last.train_loss),
                        best->step)};
  }
  return {Fit::kOverfitting, best->step,
          fmt::format("It overfits since step {}: validation loss went {}{}. The best weights are "
                      "those of step {}; fewer groups, fewer steps, more data or more weight decay "
                      "may help.",
                      best->step, validation,
                      known ? fmt::format(", while training loss went on {}",
                                          change_text(best->train_loss, last.train_loss))
                            : "",
                      best->step)};
}

}  // namespace thaw
