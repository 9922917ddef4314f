#include "core/schedule/toml/trigger_reader.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/base/suggest.h"
#include "core/config/option_table.h"
#include "core/config/toml_text.h"
#include "core/schedule/group_patterns.h"
#include "core/schedule/metrics.h"
#include "core/schedule/toml/inner_table.h"

namespace thaw {
namespace {

using Kind = EndCondition::Kind;
using Read = std::optional<ReadTrigger>;

constexpr double kMostSeconds = 1e9;

/// Reads the triggers of one stage. Each method returns nothing after reporting what is wrong.
class TriggerReader {
 public:
  TriggerReader(const Setting::Entry& entry, const std::string& subject, const StageFacts& stage,
                Problems& problems)
      : key_(entry.key),
        setting_(entry.setting),
        subject_(subject),
        stage_(stage),
        problems_(problems) {}

  Read read() {
    if (key_ == "epochs") return read_length(Kind::kEpochs, "stage-epochs");
    if (key_ == "steps") return read_length(Kind::kSteps, "stage-steps");
    if (key_ == "seconds") return read_seconds();
    if (key_ == "plateau") return read_plateau();
    if (key_ == "threshold") return read_threshold();
    if (key_ == "gradient-signal") return read_signal();
    return read_curve_finished();
  }

 private:
  Read fail(const std::string& message) {
    problems_.add(setting_.where, subject_, message);
    return std::nullopt;
  }

  Read trigger(Kind kind, double amount) const {
    return ReadTrigger{{.kind = kind, .amount = amount}, "", setting_.where};
  }

  /// A length: the bounds are those of the option of `[schedule]` that says the same.
  Read read_length(Kind kind, const char* like) {
    const auto value = read_value(*find_option("schedule", like), setting_, subject_, problems_);
    if (!value) return std::nullopt;
    const double amount = kind == Kind::kEpochs
                              ? std::get<double>(*value)
                              : static_cast<double>(std::get<std::int64_t>(*value));
    return amount > 0 ? trigger(kind, amount) : fail("0 would be a stage of no length");
  }

  Read read_seconds() {
    const auto seconds = as_number(setting_);
    if (!seconds) return fail("expected a number, got " + describe(setting_));
    if (*seconds > 0 && *seconds <= kMostSeconds) return trigger(Kind::kSeconds, *seconds);
    return fail(
        fmt::format("{} is out of range: above 0 and at most 1000000000", toml_text(*seconds)));
  }

  Read read_curve_finished() {
    const auto wanted = as_boolean(setting_);
    if (!wanted || !*wanted) return fail("expected true, got " + describe(setting_));
    if (stage_.curve.steps > 0) {
      return trigger(Kind::kCurveFinished, static_cast<double>(stage_.curve.steps));
    }
    return fail("the curve takes its length from the end of the stage; give curve.steps");
  }

  /// The metric and its mode, which plateau and threshold share.
  MetricRule read_metric(InnerTable& table) {
    MetricRule rule;
    rule.metric = table.text("metric", "validation/loss", stage_.metrics.all());
    const MetricRule::Mode natural = stage_.metrics.find(rule.metric)->better;
    const std::string mode = table.text("mode", std::string(name_of(natural)), {"min", "max"});
    rule.mode = mode == "min" ? MetricRule::Mode::kMin : MetricRule::Mode::kMax;
    if (table.good() && needs_validation(rule.metric) && !stage_.has_validation) {
      table.report("metric", fmt::format("{} needs a validation split, and the data has none",
                                         toml_text(rule.metric)));
    }
    return rule;
  }

  Read read_plateau() {
    InnerTable table(setting_, subject_, {"metric", "patience", "least-change", "mode"}, problems_);
    ReadTrigger read{{.kind = Kind::kPlateau}, "", setting_.where};
    read.condition.metric = read_metric(table);
    read.condition.metric.patience = table.integer("patience", 3, {.least = 1, .most = 1e9});
    read.condition.metric.least_change = table.number("least-change", 0, {.least = 0});
    return table.good() ? Read(read) : std::nullopt;
  }

  Read read_threshold() {
    InnerTable table(setting_, subject_, {"metric", "value", "mode"}, problems_);
    ReadTrigger read{{.kind = Kind::kThreshold}, "", table.where("value")};
    MetricRule& rule = read.condition.metric;
    rule = read_metric(table);
    table.require("value");
    rule.value = table.number("value", 0, {});
    if (!table.good()) return std::nullopt;
    const Metric& metric = *stage_.metrics.find(rule.metric);
    if (rule.mode == MetricRule::Mode::kMin && rule.value < metric.least) {
      read.never = fmt::format("{} never falls below {}", rule.metric, metric.least);
    } else if (rule.mode == MetricRule::Mode::kMax && rule.value > metric.most) {
      read.never = fmt::format("{} never rises above {}", rule.metric, metric.most);
    }
    return read;
  }

  Read read_signal() {
    InnerTable table(setting_, subject_, {"group", "every-steps", "patience", "least-change"},
                     problems_);
    ReadTrigger read{{.kind = Kind::kGradientSignal}, "", setting_.where};
    SignalRule& rule = read.condition.signal;
    table.require("group");
    rule.group = table.text("group", "", {});
    rule.every_steps = table.integer("every-steps", 100, {.least = 1, .most = 1e15});
    rule.patience = table.integer("patience", 1, {.least = 1, .most = 1e9});
    rule.least_change = table.number("least-change", 0.05, {.above = 0});
    const auto& groups = stage_.groups;
    if (table.good() && std::find(groups.begin(), groups.end(), rule.group) == groups.end()) {
      const std::string near = nearest_name(rule.group, groups);
      table.report("group",
                   fmt::format("{} is no group that this stage trains ({}){}",
                               toml_text(rule.group), list_groups(groups),
                               near.empty() ? "" : "; did you mean " + toml_text(near) + "?"));
    }
    return table.good() ? Read(read) : std::nullopt;
  }

  const std::string& key_;
  const Setting& setting_;
  const std::string& subject_;
  const StageFacts& stage_;
  Problems& problems_;
};

}  // namespace

const std::vector<std::string>& trigger_names() {
  static const std::vector<std::string> names = {
      "epochs", "steps", "seconds", "plateau", "threshold", "gradient-signal", "curve-finished"};
  return names;
}

Read read_trigger(const Setting::Entry& entry, const std::string& subject, const StageFacts& stage,
                  Problems& problems) {
  return TriggerReader(entry, subject, stage, problems).read();
}

}  // namespace thaw
