#pragma once

#include <nlohmann/json_fwd.hpp>

#include "core/record/observer.h"

namespace thaw {

// Of reports, those that a checkpoint and `summary.json` hold: see Note [Described values]. Figures
// that are not finite are null there.

/// Adds each figure by its key.
void add_figures(const std::vector<Figure>& figures, nlohmann::ordered_json& json);
/// The figures of an evaluation, in their order: what else it has besides loss, samples, place and
/// cost is a metric of its task, of whatever task. Throws nlohmann's exceptions.
std::vector<Figure> figures_of(const nlohmann::ordered_json& json);

void to_json(nlohmann::ordered_json& json, const EvaluationReport& report);
void from_json(const nlohmann::ordered_json& json, EvaluationReport& report);

void to_json(nlohmann::ordered_json& json, const StageSummary& stage);
void from_json(const nlohmann::ordered_json& json, StageSummary& stage);

void to_json(nlohmann::ordered_json& json, const Flops& flops);
void from_json(const nlohmann::ordered_json& json, Flops& flops);

}  // namespace thaw
