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

/// The steps of the way that will be kept: all, where neither is clearly faster, since the better
/// of two medians of a few steps is mostly luck.
Steps kept(const Steps& steps, bool alternates) {
  constexpr std::size_t kEnough = 2;
  constexpr double kClearly = 0.03;
  if (!alternates || steps.size() < 2 * kEnough) return steps;
  const Steps one = every_other(steps, 0);
  const Steps other = every_other(steps, 1);
  const double of_one = median_part(one, &RehearsedStep::seconds);
  const double of_other = median_part(other, &RehearsedStep::seconds);
  if (std::max(of_one, of_other) < (1 + kClearly) * std::min(of_one, of_other)) return steps;
  return of_one <= of_other ? one : other;
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

/// The counted steps, as if each had the load `load`.
Steps counted_at(const RehearsedStage& stage, double load) {
  Steps steps = counted(stage.steps);
  for (RehearsedStep& step : steps) step = at_load(step, load);
  return steps;
}

StepPrice parts_at(const RehearsedStage& stage, bool alternates, double load) {
  return median_parts(kept(counted_at(stage, load), alternates));
}

double sum_of(const Steps& steps, double RehearsedStep::*part) {
  double sum = 0;
  for (const RehearsedStep& step : steps) sum += step.*part;
  return sum;
}

/// Beyond what the fit says of such a load: of steps that do not count, and of those in which two
/// ways took turns, where one is chosen.
std::vector<double> beyond(const RehearsedStage& stage, const StepFit& fit, bool alternates) {
  // Of so few steps the last counts, and stands for all.
  if (static_cast<std::int64_t>(stage.steps.size()) <= kRehearsalWarmUp) return {};
  const Steps steps = counted_at(stage, mean_load_of(counted(stage.steps)));
  const bool chooses = kept(steps, alternates).size() < steps.size();
  const std::size_t last = stage.steps.size() - (chooses ? 0 : steps.size());
  std::vector<double> all;
  for (std::size_t i = 0; i < last; ++i) {
    all.push_back(stage.steps[i].seconds - fit.at(stage.steps[i].load).seconds());
  }
  return all;
}

double mixed(double a, double b, double weight) { return a + weight * (b - a); }

std::vector<double> mixed(const std::vector<double>& a, const std::vector<double>& b,
                          double weight) {
  std::vector<double> result(std::max(a.size(), b.size()));
  for (std::size_t i = 0; i < result.size(); ++i) {
    result[i] = mixed(i < a.size() ? a[i] : 0, i < b.size() ? b[i] : 0, weight);
  }
  return result;
}

LinearCost mixed(const LinearCost& a, const LinearCost& b, double weight) {
  return {.fixed = mixed(a.fixed, b.fixed, weight),
          .per_sample = mixed(a.per_sample, b.per_sample, weight)};
}

}  // namespace

double largest_load(const std::vector<RehearsedStep>& steps) {
  double largest = 0;
  for (const RehearsedStep& step : steps) largest = std::max(largest, step.load);
  return largest;
}

StepPrice StepFit::at(double load) const {
  StepPrice parts = rest;
  parts.forward = forward.at(load);
  parts.backward = backward.at(load);
  return parts;
}

double StepFit::seconds_of(std::int64_t steps, double load, double mean_over_typical) const {
  double seconds = static_cast<double>(steps) * at(load).seconds() * mean_over_typical;
  const auto first = std::min(steps, static_cast<std::int64_t>(first_steps.size()));
  for (std::int64_t i = 0; i < first; ++i) seconds += first_steps[static_cast<std::size_t>(i)];
  return seconds;
}

double mean_over_typical(const std::vector<RehearsedStage>& stages, bool alternates) {
  double all = 0;
  double typical = 0;
  for (const RehearsedStage& stage : stages) {
    const Steps steps = kept(counted_at(stage, mean_load_of(counted(stage.steps))), alternates);
    // A median of fewer says little, and of one step what it took.
    constexpr std::size_t kEnough = 4;
    if (steps.size() < kEnough) continue;
    all += sum_of(steps, &RehearsedStep::seconds) + sum_of(steps, &RehearsedStep::gap);
    typical += static_cast<double>(steps.size()) * median_part(steps, &RehearsedStep::seconds);
  }
  return typical > 0 ? std::max(1.0, all / typical) : 1;
}

StepFit fit_of(const RehearsedStage& stage, const RehearsedStage* smaller, bool alternates) {
  StepFit fit;
  fit.transition_seconds = stage.transition_seconds;
  fit.groups_seconds = stage.groups_seconds;
  fit.peak_bytes = static_cast<double>(stage.peak_memory_bytes);
  fit.largest_load = stage.peak_load > 0 ? stage.peak_load : largest_load(stage.steps);
  const double load = mean_load_of(counted(stage.steps));
  const StepPrice parts = parts_at(stage, alternates, load);
  const double less = smaller != nullptr ? mean_load_of(counted(smaller->steps)) : load;
  const StepPrice of_less = smaller != nullptr ? parts_at(*smaller, alternates, less) : parts;
  fit.forward = line_through(less, of_less.forward, load, parts.forward);
  fit.backward = line_through(less, of_less.backward, load, parts.backward);
  fit.rest = parts;
  fit.rest.forward = 0;
  fit.rest.backward = 0;
  fit.first_steps = beyond(stage, fit, alternates);
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
  fit.first_steps = mixed(a.first_steps, b.first_steps, weight);
  fit.transition_seconds = mixed(a.transition_seconds, b.transition_seconds, weight);
  fit.groups_seconds = mixed(a.groups_seconds, b.groups_seconds, weight);
  // What layers keep for backward is not quite in proportion to their depth. What is held follows
  // parameters, which may all lie at one end, and whoever knows the stage puts its own in its
  // place.
  constexpr double kAhead = 0.125;
  const double kept = a.peak_bytes - a.held_bytes;
  const double further = std::max(0.0, b.peak_bytes - b.held_bytes - kept);
  fit.held_bytes = mixed(a.held_bytes, b.held_bytes, weight);
  fit.peak_bytes = fit.held_bytes + kept + std::min(1.0, weight + kAhead) * further;
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
