#include "dist/forecast/costs_json.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "core/base/json_fields.h"
#include "core/base/json_text.h"

namespace thaw {

namespace {

void describe(auto fields, Described<LinearCost> auto& cost) {
  fields("fixed", cost.fixed);
  fields("per_sample", cost.per_sample);
}

void describe(auto fields, Described<GroupCosts> auto& group) {
  fields("name", group.name);
  fields("forward", group.forward);
  fields("backward", group.backward);
}

void describe(auto fields, Described<GradientCosts> auto& gradient) {
  fields("name", gradient.entry.name);
  fields("shape", gradient.entry.shape);
  fields("type", gradient.entry.type);
  fields("device", gradient.entry.device);
  fields("by_rows", gradient.entry.by_rows);
  fields("group", gradient.group);
}

void describe(auto fields, Described<RestingParameter> auto& resting) {
  fields("name", resting.name);
  fields("bytes", resting.bytes);
}

void describe(auto fields, Described<TouchedRows> auto& touched) {
  fields("samples", touched.samples);
  fields("rows", touched.rows);
}

void describe(auto fields, Described<SmallSums> auto& sums) {
  fields("forward", sums.forward);
  fields("backward", sums.backward);
  fields("step", sums.step);
  fields("bytes", sums.bytes);
}

void describe(auto fields, Described<MemoryCosts> auto& memory) {
  fields("fixed", memory.fixed);
  fields("activations", memory.activations);
  fields("state_per_byte", memory.state_per_byte);
  fields("kept_state", memory.kept_state);
}

void describe(auto fields, Described<StageCosts> auto& costs) {
  fields("stage", costs.stage);
  fields("groups", costs.groups);
  fields("loss", costs.loss);
  fields("gradients", costs.gradients);
  fields.added("resting", costs.resting);
  fields("touched", costs.touched);
  fields("optimizer_fixed", costs.optimizer_fixed);
  fields("optimizer_per_byte", costs.optimizer_per_byte);
  fields("step_fixed", costs.step_fixed);
  fields("pack_per_byte", costs.pack_per_byte);
  fields("flops_per_second", costs.flops_per_second);
  fields("sums", costs.sums);
  fields("memory", costs.memory);
}

void describe(auto fields, Described<CostsFile> auto& file) {
  fields("configuration", file.configuration);
  fields("threads", file.threads);
  fields("precision", file.precision);
  fields("samples", file.samples);
  fields("stages", file.stages);
}

constexpr std::array kTypes = {ElementType::kFloat32, ElementType::kFloat64,
                               ElementType::kBFloat16};

bool possible(double cost) { return std::isfinite(cost) && cost >= 0; }
bool possible(const LinearCost& cost) { return possible(cost.fixed) && possible(cost.per_sample); }

/// Of a shape that could be a parameter's; the product is taken where it cannot overflow.
bool possible(const GradientCosts& gradient, std::size_t groups) {
  double elements = 1;
  for (const std::int64_t extent : gradient.entry.shape) {
    if (extent < 1) return false;
    elements *= static_cast<double>(extent);
  }
  const bool is_matrix = gradient.entry.shape.size() == 2;
  return gradient.group < groups && elements < 1e15 && (is_matrix || !gradient.entry.by_rows);
}

bool ascending(const std::vector<TouchedRows>& touched) {
  TouchedRows before{0, 0};
  for (const TouchedRows& point : touched) {
    if (point.samples <= before.samples || point.rows < before.rows) return false;
    before = point;
  }
  return true;
}

/// What is wrong with a stage's costs; "" where nothing is.
std::string fault_of(const StageCosts& costs) {
  for (const GroupCosts& group : costs.groups) {
    if (!possible(group.forward) || !possible(group.backward)) {
      return fmt::format("group \"{}\" takes less than no time", group.name);
    }
  }
  for (const GradientCosts& gradient : costs.gradients) {
    if (!possible(gradient, costs.groups.size())) {
      return fmt::format("gradient \"{}\" has no group, or no shape that a parameter could have",
                         gradient.entry.name);
    }
  }
  for (const RestingParameter& its : costs.resting) {
    if (its.bytes < 0) return fmt::format("\"{}\" has fewer than no bytes", its.name);
  }
  const std::array seconds = {
      costs.optimizer_fixed, costs.optimizer_per_byte, costs.step_fixed,
      costs.pack_per_byte,   costs.flops_per_second,   costs.sums.forward,
      costs.sums.backward,   costs.sums.step,          costs.memory.state_per_byte};
  const bool all =
      std::all_of(seconds.begin(), seconds.end(), [](double value) { return possible(value); });
  if (!all || !possible(costs.loss) || !possible(costs.memory.activations) ||
      costs.sums.bytes < 0 || costs.memory.fixed < 0 || costs.memory.kept_state < 0) {
    return "a cost is below 0";
  }
  return ascending(costs.touched) ? "" : "\"touched\" does not ascend";
}

}  // namespace

void to_json(nlohmann::ordered_json& json, const ElementType& type) {
  json = std::string(name_of(type));
}

void from_json(const nlohmann::ordered_json& json, ElementType& type) {
  const auto name = json.get<std::string>();
  const auto found = std::find_if(kTypes.begin(), kTypes.end(),
                                  [&](ElementType each) { return name_of(each) == name; });
  if (found == kTypes.end()) throw InputError(fmt::format("\"{}\" is no element type", name));
  type = *found;
}

THAW_JSON_BY_DESCRIPTION(LinearCost)
THAW_JSON_BY_DESCRIPTION(GroupCosts)
THAW_JSON_BY_DESCRIPTION(GradientCosts)
THAW_JSON_BY_DESCRIPTION(RestingParameter)
THAW_JSON_BY_DESCRIPTION(TouchedRows)
THAW_JSON_BY_DESCRIPTION(SmallSums)
THAW_JSON_BY_DESCRIPTION(MemoryCosts)
THAW_JSON_BY_DESCRIPTION(StageCosts)
THAW_JSON_BY_DESCRIPTION(CostsFile)

CostsFile costs_of_text(const std::string& text, const std::string& path) {
  if (json_is_deeper(text)) throw InputError(path + ": not a file of costs");
  auto file = value_from_json<CostsFile>(text, path);
  if (file.threads < 1 || file.stages.empty()) {
    throw InputError(path + ": a file of costs has stages, and threads of at least 1");
  }
  for (const StageCosts& costs : file.stages) {
    const std::string fault = fault_of(costs);
    if (!fault.empty()) {
      throw InputError(fmt::format("{}: stage \"{}\": {}", path, costs.stage, fault));
    }
  }
  return file;
}

}  // namespace thaw
