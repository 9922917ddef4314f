#pragma once

#include <nlohmann/json_fwd.hpp>

#include "core/record/observer.h"

namespace thaw {

// Of reports, those that a checkpoint and `summary.json` hold: see Note [Described values]. Figures
// that are not finite are null there.

void to_json(nlohmann::ordered_json& json, const EvaluationReport& report);
void from_json(const nlohmann::ordered_json& json, EvaluationReport& report);

void to_json(nlohmann::ordered_json& json, const StageSummary& stage);
void from_json(const nlohmann::ordered_json& json, StageSummary& stage);

void to_json(nlohmann::ordered_json& json, const Flops& flops);
void from_json(const nlohmann::ordered_json& json, Flops& flops);

}  // namespace thaw
