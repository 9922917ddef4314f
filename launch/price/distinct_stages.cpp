#include "launch/price/distinct_stages.h"

#include <algorithm>
#include <numeric>
#include <tuple>

#include "core/schedule/schedule.h"
#include "core/schedule/stage_plan.h"
#include "core/step/parameter_table.h"

namespace thaw {
namespace {

/// Rates and ends decide nothing about what a step costs. That best weights are kept to be put back
/// decides about memory.
bool cost_the_same(const Stage& a, const Stage& b) {
  return a.groups == b.groups && a.policy == b.policy && a.overrides == b.overrides &&
         a.restore_best.has_value() == b.restore_best.has_value();
}

}  // namespace

StageKinds stage_kinds(const Schedule& schedule, const ParameterTable& parameters,
                       const TrainOptions& train) {
  StageKinds found;
  for (std::size_t s = 0; s < schedule.stages.size(); ++s) {
    const Stage& stage = schedule.stages[s];
    const auto same = std::find_if(
        found.kinds.begin(), found.kinds.end(),
        [&](const StageKind& kind) { return cost_the_same(schedule.stages[kind.first], stage); });
    found.of_stage.push_back(static_cast<std::size_t>(same - found.kinds.begin()));
    if (same != found.kinds.end()) continue;
    const StagePlan plan = make_stage_plan(parameters.groups(), parameters.facts(), stage, train);
    found.kinds.push_back({.first = s, .cut = plan.cut(), .elements = plan.elements()});
  }
  return found;
}

bool is_deeper(const StageKind& a, const StageKind& b) {
  return std::tuple(b.cut, a.elements) > std::tuple(a.cut, b.elements);
}

std::vector<std::size_t> chosen_kinds(const std::vector<StageKind>& kinds, std::size_t most) {
  std::vector<std::size_t> by_depth(kinds.size());
  std::iota(by_depth.begin(), by_depth.end(), std::size_t{0});
  if (most >= kinds.size()) return by_depth;
  std::stable_sort(by_depth.begin(), by_depth.end(),
                   [&](std::size_t a, std::size_t b) { return is_deeper(kinds[b], kinds[a]); });
  if (most == 1) return {by_depth.back()};
  std::vector<std::size_t> chosen;
  for (std::size_t i = 0; i < most; ++i) {
    chosen.push_back(by_depth[i * (kinds.size() - 1) / (most - 1)]);
  }
  std::sort(chosen.begin(), chosen.end());
  return chosen;
}

RehearsalSize rehearsal_size(const RehearsalQuestion& question) {
  constexpr double kEnough = kRehearsalWarmUp + 4;  // two that count, of each parity
  constexpr double kBrief = 3;  // of long steps, whose first one matters less, the last counts
  constexpr std::size_t kSomeKinds = 3;
  constexpr std::size_t kLeastKinds = 2;
  RehearsalSize size{.kinds = question.kinds, .batch = question.batch};
  double steps = kEnough;
  const auto takes_too_long = [&] {
    const auto share = static_cast<double>((size.batch - 1) / question.ranks + 1);
    return static_cast<double>(size.kinds) * steps * question.step.at(share) > question.seconds;
  };
  while (size.kinds > kSomeKinds && takes_too_long()) --size.kinds;
  if (takes_too_long()) steps = kBrief;
  if (takes_too_long()) size.kinds = std::min(size.kinds, kLeastKinds);
  // Two sizes, or what takes as long whatever the size (reading the weights) is taken for samples'.
  const std::int64_t least = std::min(question.batch, 2 * question.ranks);
  while (size.batch > least && takes_too_long()) size.batch = std::max(least, size.batch / 2);
  if (size.batch < question.batch) size.smaller = size.batch / 2;
  return size;
}

}  // namespace thaw
