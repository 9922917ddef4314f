#include "launch/price/step_fit.h"

#include <algorithm>
#include <cstddef>

#include "core/base/numbers.h"
#include "launch/price/distinct_stages.h"

namespace thaw {
namespace {

using Steps = std::vector<RehearsedStep>;

/// Those behind the warm-up; else the last one, which is as warm as it gets.
Steps counted(const Steps& steps) {
  const auto warm_up = static_cast<std::ptrdiff_t>(kRehearsalWarmUp);
  if (static_cast<std::ptrdiff_t>(steps.size()) > warm_up) {
    return {steps.begin() + warm_up, steps.end()};
  }
  return steps.empty() ? Steps() : Steps{steps.back()};
}

double mean_load_of(const Steps& steps) {
  double sum = 0;
  for (const RehearsedStep& step : steps) sum += step.load;
  return steps.empty() ? 0 : sum / static_cast<double>(steps.size());
}

/// As if its load had been this one.
RehearsedStep at_load(RehearsedStep step, double load) {
  const double scale = step.load > 0 ? load / step.load : 1;
  step.seconds += (scale - 1) * (step.forward + step.backward);
  step.forward *= scale;
  step.backward *= scale;
  return step;
}

double median_part(const Steps& steps, double RehearsedStep::*part) {
  std::vector<double> values;
  for (const RehearsedStep& step : steps) values.push_back(step.*part);
  return median(values);
}

/// Every other step, from the first or the second on.
Steps every_other(const Steps& steps, std::size_t first) {
  Steps chosen;
  for (std::size_t i = first; i < steps.size(); i += 2) chosen.push_back(steps[i]);
  return chosen;
}

/// The steps of the way that will be kept.
Steps kept(const Steps& steps, bool alternates) {
  constexpr std::size_t kEnough = 2;
  if (!alternates || steps.size() < 2 * kEnough) return steps;
  Steps one = every_other(steps, 0);
  Steps other = every_other(steps, 1);
  const bool first =
      median_part(one, &RehearsedStep::seconds) <= median_part(other, &RehearsedStep::seconds);
  return first ? one : other;
}

/// Medians, of steps that all have the load `load`.
StepPrice median_parts(const Steps& steps) {
  StepPrice parts{.forward = median_part(steps, &RehearsedStep::forward),
                  .backward = median_part(steps, &RehearsedStep::backward),
                  .optimizer = median_part(steps, &RehearsedStep::optimizer),
                  .data = median_part(steps, &RehearsedStep::data),
                  .exposed = median_part(steps, &RehearsedStep::exposed)};
  parts.other = median_part(steps, &RehearsedStep::seconds) - parts.seconds();
  return parts;
}

StepPrice parts_at(const RehearsedStage& stage, bool alternates, double load) {
  Steps steps = counted(stage.steps);
  for (RehearsedStep& step : steps) step = at_load(step, load);
  return median_parts(kept(steps, alternates));
}

double mixed(double a, double b, double weight) { return a + weight * (b - a); }

LinearCost mixed(const LinearCost& a, const LinearCost& b, double weight) {
  return {.fixed = mixed(a.fixed, b.fixed, weight),
          .per_sample = mixed(a.per_sample, b.per_sample, weight)};
}

}  // namespace

StepPrice StepFit::at(double load) const {
  StepPrice parts = rest;
  parts.forward = forward.at(load);
  parts.backward = backward.at(load);
  return parts;
}

StepFit fit_of(const RehearsedStage& stage, const RehearsedStage* smaller, bool alternates) {
  StepFit fit;
  fit.transition_seconds = stage.transition_seconds;
  fit.peak_bytes = static_cast<double>(stage.peak_memory_bytes);
  for (const RehearsedStep& step : stage.steps) {
    fit.largest_load = std::max(fit.largest_load, step.load);
  }
  const double load = mean_load_of(counted(stage.steps));
  const StepPrice parts = parts_at(stage, alternates, load);
  const double less = smaller != nullptr ? mean_load_of(counted(smaller->steps)) : load;
  const StepPrice of_less = smaller != nullptr ? parts_at(*smaller, alternates, less) : parts;
  fit.forward = line_through(less, of_less.forward, load, parts.forward);
  fit.backward = line_through(less, of_less.backward, load, parts.backward);
  fit.rest = parts;
  fit.rest.forward = 0;
  fit.rest.backward = 0;
  return fit;
}

StepFit fit_between(const StepFit& a, const StepFit& b, double weight) {
  StepFit fit;
  fit.forward = mixed(a.forward, b.forward, weight);
  fit.backward = mixed(a.backward, b.backward, weight);
  fit.rest = {.optimizer = mixed(a.rest.optimizer, b.rest.optimizer, weight),
              .data = mixed(a.rest.data, b.rest.data, weight),
              .exposed = mixed(a.rest.exposed, b.rest.exposed, weight),
              .other = mixed(a.rest.other, b.rest.other, weight)};
  fit.transition_seconds = mixed(a.transition_seconds, b.transition_seconds, weight);
  fit.peak_bytes = std::max(a.peak_bytes, b.peak_bytes);
  fit.largest_load = std::min(a.largest_load, b.largest_load);
  return fit;
}

StepFit fit_at(const std::vector<PlacedFit>& known, double depth) {
  for (std::size_t i = 0; i < known.size(); ++i) {
    if (depth > known[i].depth) continue;
    if (i == 0 || depth == known[i].depth) return known[i].fit;
    const double span = known[i].depth - known[i - 1].depth;
    return fit_between(known[i - 1].fit, known[i].fit, (depth - known[i - 1].depth) / span);
  }
  return known.back().fit;
}

}  // namespace thaw
