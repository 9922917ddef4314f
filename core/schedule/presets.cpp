#include "core/schedule/presets.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "core/schedule/preset_stages.h"
#include "core/schedule/stage_length.h"
#include "core/schedule/toml/stage_keys.h"

namespace thaw {
namespace {

class PresetWriter {
 public:
  PresetWriter(const ConfigurationDocument& document, const std::vector<std::string>& groups,
               std::int64_t train_samples, Problems& problems)
      : document_(document),
        options_(document.schedule),
        groups_(groups),
        train_samples_(train_samples),
        problems_(problems) {}

  std::vector<Setting> write() {
    if (options_.learning_rate == 0) {
      report("schedule.learning-rate", "a preset needs a rate above 0");
    }
    if (options_.preset == "freeze-out") return write_freeze_out();
    const std::vector<PresetStage> steps = preset_stages(options_, groups_);
    const std::vector<Setting> lengths = lengths_of(steps.size());
    if (!problems_.empty()) return {};
    std::vector<Setting> stages;
    for (std::size_t i = 0; i < steps.size(); ++i) {
      Setting::Table rates;
      for (const std::size_t group : steps[i].active) {
        rates.push_back(entry(groups_[group].c_str(), rate_of(group, steps[i].name == "all")));
      }
      stages.push_back(stage(steps[i].name, rates, curve(), until(lengths[i]), i));
    }
    return stages;
  }

 private:
  // --- freeze-out ---

  std::vector<Setting> write_freeze_out() {
    const std::int64_t total = total_steps();
    if (!problems_.empty()) return {};
    const auto units = freezing_units(options_, groups_);
    const auto times = freezing_times(units.size(), options_.freeze_from,
                                      options_.freeze_plan == FreezePlan::kCubic);
    std::map<std::size_t, std::int64_t> ends;  // of each group
    Setting::Table group_steps, all_rates;
    for (std::size_t i = 0; i < units.size(); ++i) {
      const auto end =
          std::max<std::int64_t>(1, std::llround(times[i] * static_cast<double>(total)));
      for (const std::size_t group : units[i]) {
        ends[group] = end;
        group_steps.push_back(entry(groups_[group].c_str(), end));
        all_rates.push_back(
            entry(groups_[group].c_str(), rate_of(group) / (options_.scale_rates ? times[i] : 1)));
      }
    }
    Setting::Table falling = curve();
    if (options_.curve != "constant") falling.push_back(entry("steps", group_steps));
    std::vector<Setting> stages;
    for (std::int64_t begin = 0; begin < total;) {
      Setting::Table rates;
      std::int64_t end = total;
      for (const Setting::Entry& rate : all_rates) {
        const std::int64_t its = ends.at(index_of(rate.key));
        if (its <= begin) continue;
        rates.push_back(rate);
        end = std::min(end, its);
      }
      const Setting length{Setting::Table{entry("steps", end - begin)}, preset()};
      stages.push_back(stage(rates.front().key, rates, falling, length, stages.size()));
      begin = end;
    }
    return stages;
  }

  std::int64_t total_steps() {
    const auto& o = options_;
    refuse_both("total-epochs", o.total_epochs > 0, "total-steps", o.total_steps > 0);
    if (o.total_steps > 0) return o.total_steps;
    if (o.total_epochs == 0) {
      report("schedule.preset", "freeze-out needs total-epochs or total-steps");
      return 0;
    }
    const EndCondition epochs{.kind = EndCondition::Kind::kEpochs, .amount = o.total_epochs};
    return *steps_of_stage(epochs, 0, train_samples_, document_.configuration.data.batch);
  }

  std::size_t index_of(const std::string& group) const {
    return static_cast<std::size_t>(std::find(groups_.begin(), groups_.end(), group) -
                                    groups_.begin());
  }

  // --- how long ---

  /// The end condition of each of `count` stages.
  std::vector<Setting> lengths_of(std::size_t count) {
    const auto& o = options_;
    refuse_both("stage-epochs", o.stage_epochs > 0, "stage-steps", o.stage_steps > 0);
    refuse_both("total-epochs", o.total_epochs > 0, "total-steps", o.total_steps > 0);
    refuse_both("stage-epochs", o.stage_epochs > 0, "total-steps", o.total_steps > 0);
    refuse_both("stage-steps", o.stage_steps > 0, "total-epochs", o.total_epochs > 0);
    if (!problems_.empty()) return {};
    const bool in_steps = o.stage_steps > 0 || o.total_steps > 0;
    const double each = in_steps ? static_cast<double>(o.stage_steps) : o.stage_epochs;
    const double total = in_steps ? static_cast<double>(o.total_steps) : o.total_epochs;
    const char* unit = in_steps ? "steps" : "epochs";
    std::vector<Setting> lengths;
    for (const double length : share_out(count, each, total, unit)) {
      const Location& where = preset();
      Setting amount{length, where};
      if (in_steps) amount.value = static_cast<std::int64_t>(length);
      lengths.push_back({Setting::Table{{unit, where, amount}}, where});
    }
    return lengths;
  }

  std::vector<double> share_out(std::size_t count, double each, double total,
                                const std::string& unit) {
    const auto stages = static_cast<double>(count);
    if (total == 0) return std::vector<double>(count, each > 0 ? each : 1);
    const std::string subject = "schedule.total-" + unit;
    if (each > 0) {
      std::vector<double> lengths(count, each);
      lengths.back() = total - each * (stages - 1);
      if (lengths.back() > 0) return lengths;
      report(subject, fmt::format("{} {} leave nothing to the last of {} stages of {}", total, unit,
                                  count, each));
      return lengths;
    }
    const bool whole = total == std::floor(total) && total >= stages;
    if (!whole && unit == "steps") {
      report(subject, fmt::format("{} steps are too few for {} stages", total, count));
    }
    if (!whole) return std::vector<double>(count, total / stages);
    const double least = std::floor(total / stages);
    const double rest = total - least * stages;  // stages, the last ones, that get one more
    std::vector<double> lengths(count, least);
    for (std::size_t i = 0; i < count; ++i) lengths[i] += static_cast<double>(i) >= stages - rest;
    return lengths;
  }

  void refuse_both(const char* a, bool has_a, const char* b, bool has_b) {
    if (!has_a || !has_b) return;
    report(fmt::format("schedule.{}", b),
           fmt::format("cannot stand beside {}; set one of them to 0", a));
  }

  // --- how fast ---

  double rate_of(std::size_t group, bool final = false) const {
    const std::size_t head = groups_.size() - 1;
    final = final && options_.final_learning_rate > 0;
    const bool own = !final && options_.head_learning_rate > 0;
    if (group == head && own) return options_.head_learning_rate;
    const std::size_t top = own ? head - 1 : head;
    return (final ? options_.final_learning_rate : options_.learning_rate) /
           std::pow(options_.discriminative, static_cast<double>(top - group));
  }

  // --- as settings ---

  const Location& preset() const { return document_.given.find("schedule.preset")->second; }

  void report(const std::string& subject, const std::string& message) {
    const auto found = document_.given.find(subject);
    problems_.add(found == document_.given.end() ? preset() : found->second, subject, message);
  }

  template <class Value>
  Setting::Entry entry(const char* key, Value value) const {
    return {key, preset(), {value, preset()}};
  }

  /// A length, or a plateau that it bounds.
  Setting until(const Setting& length) const {
    if (options_.plateau.empty()) return length;
    const Setting::Table plateau = {entry("metric", options_.plateau),
                                    entry("patience", options_.plateau_patience),
                                    entry("least-change", options_.plateau_least_change)};
    return {Setting::Table{entry("plateau", plateau), {"at-most", preset(), length}}, preset()};
  }

  /// Stage number `index`, which trains the groups of `rates`.
  Setting stage(const std::string& name, const Setting::Table& rates, const Setting::Table& curve,
                const Setting& until, std::size_t index) const {
    const auto& o = options_;
    Setting::Array names;
    for (const Setting::Entry& rate : rates) names.push_back({rate.key, preset()});
    Setting::Table table = {entry("name", name), entry("groups", names),
                            entry("learning-rate", rates)};
    const bool continues = index > 0 && (o.curve_at_transition == CurveAtTransition::kContinue ||
                                         o.preset == "freeze-out");
    table.push_back(continues ? entry("curve", std::string("continued")) : entry("curve", curve));
    table.push_back({"until", preset(), until});
    if (o.preset == "random" || o.preset == "auto-freeze") {
      table.push_back(entry("policy", policy(names)));
    }
    table.push_back(entry("thawed-warmup-steps", o.thawed_warmup_steps));
    table.push_back(entry("thawed-rate-cap", o.thawed_rate_cap));
    table.push_back(entry("optimizer-state", std::string(name_of(o.optimizer_state))));
    table.push_back(entry("restore-best", o.restore_best));
    return {table, preset()};
  }

  Setting::Table policy(const Setting::Array& names) const {
    Setting::Table table = {entry("kind", options_.preset),
                            entry("every-steps", options_.policy_every_steps)};
    if (options_.preset == "auto-freeze") {
      table.push_back(entry("percentile", options_.freeze_percentile));
      return table;
    }
    table.push_back(entry("groups", options_.random_groups));
    table.push_back(entry("seed", options_.random_seed));
    if (options_.embeddings == InputTurn::kLast) {  // drawn like the layers
      table.push_back(entry("always", Setting::Array{names.back()}));
    }
    return table;
  }

  Setting::Table curve() const {
    Setting::Table table = {entry("shape", options_.curve)};
    if (options_.warmup_steps > 0) {
      table.push_back(entry("warmup-steps", options_.warmup_steps));
    } else if (options_.warmup_fraction > 0) {
      table.push_back(entry("warmup-fraction", options_.warmup_fraction));
    }
    const bool falls =
        options_.curve == "linear" || options_.curve == "cosine" || options_.curve == "polynomial";
    if (falls) table.push_back(entry("final-factor", options_.final_factor));
    if (options_.curve == "polynomial") table.push_back(entry("power", options_.power));
    if (options_.curve == "slanted-triangular") {
      table.push_back(entry("cut-fraction", options_.cut_fraction));
      table.push_back(entry("ratio", options_.ratio));
    }
    return table;
  }

  const ConfigurationDocument& document_;
  const ScheduleOptions& options_;
  const std::vector<std::string>& groups_;
  const std::int64_t train_samples_;
  Problems& problems_;
};

}  // namespace

const std::vector<std::string>& preset_names() {
  static const std::vector<std::string> names = {"full",       "head-only",  "top-down",
                                                 "bottom-up",  "chain-thaw", "head-then-all",
                                                 "freeze-out", "random",     "auto-freeze"};
  return names;
}

std::vector<Setting> write_out_preset(const ConfigurationDocument& document,
                                      const std::vector<std::string>& model_groups,
                                      std::int64_t train_samples, Problems& problems) {
  return PresetWriter(document, model_groups, train_samples, problems).write();
}

}  // namespace thaw
