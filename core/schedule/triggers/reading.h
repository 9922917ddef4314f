#pragma once

#include <optional>
#include <string>
#include <vector>

#include "core/config/option_table.h"
#include "core/schedule/toml/inner_table.h"
#include "core/schedule/triggers/trigger.h"

namespace thaw {

// What several triggers read and write alike.

/// A length with the type and bounds of the option `like` of `[schedule]`; 0, which an option may
/// be, is none. Returns nothing after adding what is wrong to `problems`.
std::optional<OptionValue> read_length(const char* like, const Setting& value,
                                       const std::string& subject, Problems& problems);

/// The keys `metric` and `mode` of a trigger's table. `table` is not good any more where they are
/// wrong.
MetricRule read_metric(InnerTable& table, const StageFacts& stage);
/// "metric = "validation/loss", mode = "min""
std::string toml_text(const MetricRule& rule);
/// Adds what watches the metric.
void add_need(const MetricRule& rule, TriggerNeeds& needs);

}  // namespace thaw
