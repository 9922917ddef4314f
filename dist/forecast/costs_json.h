#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "core/schedule/stage_plan.h"
#include "dist/forecast/stage_costs.h"

namespace thaw {

// What one rank measured, as a file: so that a forecast can be made again, for other networks and
// numbers of ranks, where there is no machine like the one that was measured.
// See Note [Described values] in core/base/json_fields.h.

/// Costs of a run's stages, and what they were measured with.
struct CostsFile {
  std::string configuration;       ///< the file's name, for people
  int threads = 1;                 ///< of the rank
  std::string precision;           ///< as train.precision
  std::int64_t samples = 0;        ///< of the larger of the steps that were measured
  std::vector<StageCosts> stages;  ///< in the schedule's order
};

void to_json(nlohmann::ordered_json& json, const ElementType& type);
void from_json(const nlohmann::ordered_json& json, ElementType& type);
void to_json(nlohmann::ordered_json& json, const LinearCost& cost);
void from_json(const nlohmann::ordered_json& json, LinearCost& cost);
void to_json(nlohmann::ordered_json& json, const GroupCosts& group);
void from_json(const nlohmann::ordered_json& json, GroupCosts& group);
void to_json(nlohmann::ordered_json& json, const GradientCosts& gradient);
void from_json(const nlohmann::ordered_json& json, GradientCosts& gradient);
void to_json(nlohmann::ordered_json& json, const RestingParameter& resting);
void from_json(const nlohmann::ordered_json& json, RestingParameter& resting);
void to_json(nlohmann::ordered_json& json, const TouchedRows& touched);
void from_json(const nlohmann::ordered_json& json, TouchedRows& touched);
void to_json(nlohmann::ordered_json& json, const SmallSums& sums);
void from_json(const nlohmann::ordered_json& json, SmallSums& sums);
void to_json(nlohmann::ordered_json& json, const MemoryCosts& memory);
void from_json(const nlohmann::ordered_json& json, MemoryCosts& memory);
void to_json(nlohmann::ordered_json& json, const StageCosts& costs);
void from_json(const nlohmann::ordered_json& json, StageCosts& costs);
void to_json(nlohmann::ordered_json& json, const CostsFile& file);
void from_json(const nlohmann::ordered_json& json, CostsFile& file);

/// What a file's text says; `path` names it in messages. Throws InputError for what is no such
/// file, and for costs that no machine has: negative ones, a gradient of no group.
CostsFile costs_of_text(const std::string& text, const std::string& path);

}  // namespace thaw
