#pragma once

#include <nlohmann/json.hpp>

#include "core/record/observer.h"

namespace thaw {

/// JSON has no NaN and no infinity: those figures are written as null.
nlohmann::ordered_json json_number(double value);
/// What `json_number` wrote; NaN for null. Throws nlohmann's exceptions.
double number_of(const nlohmann::ordered_json& json);

nlohmann::ordered_json json_of(const EvaluationReport& report);
nlohmann::ordered_json json_of(const StageSummary& stage);

/// The other way. They throw nlohmann's exceptions.
EvaluationReport evaluation_of(const nlohmann::ordered_json& json);
StageSummary stage_summary_of(const nlohmann::ordered_json& json);

}  // namespace thaw
