#include "core/schedule/triggers/reading.h"

#include <fmt/format.h>

#include "core/config/toml_text.h"

namespace thaw {

std::optional<OptionValue> read_length(const char* like, const Setting& value,
                                       const std::string& subject, Problems& problems) {
  const auto length = read_value(*find_option("schedule", like), value, subject, problems);
  if (!length) return {};
  const auto* whole = std::get_if<std::int64_t>(&*length);
  if (whole ? *whole > 0 : std::get<double>(*length) > 0) return length;
  problems.add(value.where, subject, "0 would be a stage of no length");
  return {};
}

MetricRule read_metric(InnerTable& table, const StageFacts& stage) {
  MetricRule rule;
  rule.metric = table.text("metric", "validation/loss", stage.metrics.all());
  const MetricRule::Mode natural = stage.metrics.find(rule.metric)->better;
  const std::string mode = table.text("mode", std::string(name_of(natural)), {"min", "max"});
  rule.mode = mode == "min" ? MetricRule::Mode::kMin : MetricRule::Mode::kMax;
  if (table.good() && needs_validation(rule.metric) && !stage.has_validation) {
    table.report("metric", fmt::format("{} needs a validation split, and the data has none",
                                       toml_text(rule.metric)));
  }
  return rule;
}

std::string toml_text(const MetricRule& rule) {
  return fmt::format("metric = {}, mode = \"{}\"", toml_text(rule.metric), name_of(rule.mode));
}

void add_need(const MetricRule& rule, TriggerNeeds& needs) {
  (needs_validation(rule.metric) ? needs.validation : needs.loss) = true;
}

}  // namespace thaw
