#include "core/schedule/presets.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "core/schedule/stage_keys.h"

namespace thaw {
namespace {

/// A stage of a preset before lengths and rates.
struct Step {
  std::string name;
  std::vector<std::size_t> thawed;  ///< groups that join in this stage
};

class PresetWriter {
 public:
  PresetWriter(const ConfigurationDocument& document, const std::vector<std::string>& groups,
               Problems& problems)
      : document_(document), options_(document.schedule), groups_(groups), problems_(problems) {}

  std::vector<Setting> write() {
    if (options_.learning_rate == 0) {
      report("schedule.learning-rate", "a preset needs a rate above 0");
    }
    const std::vector<Step> steps = steps_of_preset();
    const std::vector<Setting> lengths = lengths_of(steps.size());
    if (!problems_.empty()) return {};
    std::vector<Setting> stages;
    std::set<std::size_t> active;
    for (std::size_t i = 0; i < steps.size(); ++i) {
      active.insert(steps[i].thawed.begin(), steps[i].thawed.end());
      stages.push_back(stage(steps[i].name, active, lengths[i]));
    }
    return stages;
  }

 private:
  // --- which groups, when ---

  std::vector<Step> steps_of_preset() const {
    const std::size_t head = groups_.size() - 1;
    const bool has_input = head > 0 && (groups_[0] == "embeddings" || groups_[0] == "stem");
    std::vector<std::size_t> layers;
    for (std::size_t i = has_input ? 1 : 0; i < head; ++i) layers.push_back(i);

    if (options_.preset == "head-only") return {{groups_[head], {head}}};
    const std::string& turn = options_.embeddings;
    if (options_.preset == "full") {
      Step all{"full", layers};
      all.thawed.push_back(head);
      if (has_input && turn != "never") all.thawed.push_back(0);
      return {all};
    }
    const bool upwards = options_.preset == "bottom-up";
    const bool input_first = has_input && (turn == "first" || (turn == "auto" && upwards));
    const bool input_last = has_input && (turn == "last" || (turn == "auto" && !upwards));
    if (!upwards) std::reverse(layers.begin(), layers.end());

    std::vector<Step> steps;
    const bool head_last = upwards && options_.head == "last";
    if (!upwards) steps.push_back({groups_[head], {head}});
    if (upwards && input_first) steps.push_back({groups_[0], {0}});
    const auto at_once = static_cast<std::size_t>(std::min<std::int64_t>(
        options_.groups_per_stage, static_cast<std::int64_t>(groups_.size())));
    for (std::size_t i = 0; i < layers.size(); i += at_once) {
      const std::size_t end = std::min(i + at_once, layers.size());
      steps.push_back({groups_[layers[end - 1]],
                       {layers.begin() + static_cast<std::ptrdiff_t>(i),
                        layers.begin() + static_cast<std::ptrdiff_t>(end)}});
    }
    if (head_last || steps.empty()) steps.push_back({groups_[head], {head}});
    if (input_last) steps.push_back({groups_[0], {0}});
    if (!head_last) steps.front().thawed.push_back(head);
    if (input_first) steps.front().thawed.push_back(0);
    return steps;
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

  double rate_of(std::size_t group) const {
    const std::size_t head = groups_.size() - 1;
    const bool own = options_.head_learning_rate > 0;
    if (group == head && own) return options_.head_learning_rate;
    const std::size_t top = own ? head - 1 : head;
    return options_.learning_rate /
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

  Setting stage(const std::string& name, const std::set<std::size_t>& active,
                const Setting& until) const {
    Setting::Array names;
    Setting::Table rates;
    for (const std::size_t group : active) {
      names.push_back({groups_[group], preset()});
      rates.push_back(entry(groups_[group].c_str(), rate_of(group)));
    }
    Setting::Table table = {entry("name", name), entry("groups", names),
                            entry("learning-rate", rates), entry("curve", curve())};
    table.push_back({"until", preset(), until});
    return {table, preset()};
  }

  Setting::Table curve() const {
    Setting::Table table = {entry("shape", options_.curve)};
    if (options_.warmup_steps > 0) {
      table.push_back(entry("warmup-steps", options_.warmup_steps));
    } else if (options_.warmup_fraction > 0) {
      table.push_back(entry("warmup-fraction", options_.warmup_fraction));
    }
    if (options_.curve == "linear" || options_.curve == "cosine") {
      table.push_back(entry("final-factor", options_.final_factor));
    }
    if (options_.curve == "slanted-triangular") {
      table.push_back(entry("cut-fraction", options_.cut_fraction));
      table.push_back(entry("ratio", options_.ratio));
    }
    return table;
  }

  const ConfigurationDocument& document_;
  const ScheduleOptions& options_;
  const std::vector<std::string>& groups_;
  Problems& problems_;
};

}  // namespace

std::vector<Setting> write_out_preset(const ConfigurationDocument& document,
                                      const std::vector<std::string>& model_groups,
                                      Problems& problems) {
  return PresetWriter(document, model_groups, problems).write();
}

}  // namespace thaw
