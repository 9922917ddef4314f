// `freeze-out`: all are active, and freeze for good one after another from the input on, the first
// after `freeze-from` of the total length, the head never (Brock and others, FreezeOut, 2017). With
// a curve that falls, each group's own falls over the time that it has, as there; with
// `scale-rates` each rate is divided by that time's share, so that the areas are equal. Stages are
// named after the lowest active group. Lengths are in steps.
#include <algorithm>
#include <cmath>
#include <map>

#include "core/schedule/presets/preset.h"
#include "core/schedule/presets/preset_writer.h"
#include "core/schedule/stage_length.h"

namespace thaw {
namespace {

/// The share of the whole length after which each of `units` units is frozen, the last at 1: from
/// `first`, above 0, in equal steps, or, cubed, in equal steps of their cube roots.
std::vector<double> freezing_times(std::size_t units, double first, bool cubed) {
  const double start = cubed ? std::cbrt(first) : first;
  std::vector<double> times;
  for (std::size_t i = 0; i < units; ++i) {
    const double place = units > 1 ? static_cast<double>(i) / static_cast<double>(units - 1) : 1;
    const double time = start + (1 - start) * place;
    times.push_back(cubed ? time * time * time : time);
  }
  times.back() = 1;
  return times;
}

/// The units that freeze one after another, from the input on; the last is the head.
std::vector<std::vector<std::size_t>> freezing_units(const ModelParts& parts) {
  std::vector<std::vector<std::size_t>> units = parts.layers(/*from_the_top=*/false);
  if (parts.trains_input()) units.insert(units.begin(), {0});
  units.push_back({parts.head()});
  return units;
}

std::int64_t total_steps(PresetWriter& writer) {
  const ScheduleOptions& options = writer.options();
  if (writer.overlays("until")) {
    writer.report("schedule.until", "freeze-out has lengths of its own: total-epochs, total-steps");
  }
  writer.refuse_both("total-epochs", options.total_epochs > 0, "total-steps",
                     options.total_steps > 0);
  if (options.total_steps > 0) return options.total_steps;
  if (options.total_epochs == 0) {
    writer.report("schedule.preset", "freeze-out needs total-epochs or total-steps");
    return 0;
  }
  return writer.steps_of_epochs(options.total_epochs);
}

/// What each group has of the whole length, from the input on.
struct Share {
  std::size_t group;
  std::int64_t steps;  ///< after which it freezes
  double rate;
};

std::vector<Share> shares_of(const PresetWriter& writer, std::int64_t total) {
  const ScheduleOptions& options = writer.options();
  const auto units = freezing_units(writer.parts());
  const auto times =
      freezing_times(units.size(), options.freeze_from, options.freeze_plan == FreezePlan::kCubic);
  std::vector<Share> shares;
  for (std::size_t i = 0; i < units.size(); ++i) {
    const auto end = std::max<std::int64_t>(1, std::llround(times[i] * static_cast<double>(total)));
    for (const std::size_t group : units[i]) {
      shares.push_back({group, end, writer.rate_of(group) / (options.scale_rates ? times[i] : 1)});
    }
  }
  return shares;
}

std::vector<Setting> freeze_out_stages(PresetWriter& writer) {
  const std::int64_t total = total_steps(writer);
  if (!writer.good()) return {};
  const std::vector<Share> shares = shares_of(writer, total);
  const ModelParts& parts = writer.parts();
  Setting::Table curve = writer.curve();
  if (writer.curve_has_end()) {
    Setting::Table group_steps;
    for (const Share& share : shares) {
      group_steps.push_back(writer.entry(parts.name(share.group), share.steps));
    }
    curve.push_back(writer.entry("steps", group_steps));
  }
  std::vector<Setting> stages;
  for (std::int64_t begin = 0; begin < total;) {
    Setting::Table rates;
    std::int64_t end = total;
    for (const Share& share : shares) {
      if (share.steps <= begin) continue;
      rates.push_back(writer.entry(parts.name(share.group), share.rate));
      end = std::min(end, share.steps);
    }
    stages.push_back(writer.stage({.name = rates.front().key,
                                   .rates = rates,
                                   .curve = curve,
                                   .until = writer.until(writer.entry("steps", end - begin)),
                                   .continues = !stages.empty()}));
    begin = end;
  }
  return stages;
}

}  // namespace

Preset freeze_out_preset() { return {"freeze-out", freeze_out_stages}; }

}  // namespace thaw
