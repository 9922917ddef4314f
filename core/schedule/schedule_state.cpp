#include "core/schedule/schedule_state.h"

#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "core/base/error.h"

namespace thaw {
namespace {

using Json = nlohmann::json;

/// JSON has neither infinities nor NaN, which a metric may well be: those are written as text.
Json number_json(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value > 0 ? "inf" : "-inf";
  return value;
}

double number_of(const Json& json) {
  if (!json.is_string()) return json.get<double>();
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  const auto text = json.get<std::string>();
  return text == "inf" ? kInfinity : text == "-inf" ? -kInfinity : std::nan("");
}

Json optional_json(const std::optional<double>& value) {
  return value ? number_json(*value) : Json(nullptr);
}

std::optional<double> optional_of(const Json& json) {
  return json.is_null() ? std::nullopt : std::optional(number_of(json));
}

Json trigger_json(const TriggerState& state) {
  return {{"best", optional_json(state.best)},
          {"last", optional_json(state.last)},
          {"count", state.count},
          {"sum", number_json(state.sum)},
          {"steps", state.steps}};
}

TriggerState trigger_of(const Json& json) {
  return {.best = optional_of(json.at("best")),
          .last = optional_of(json.at("last")),
          .count = json.at("count").get<std::int64_t>(),
          .sum = number_of(json.at("sum")),
          .steps = json.at("steps").get<std::int64_t>()};
}

Json progress_json(const StageProgress& progress) {
  return {{"steps", progress.steps}, {"samples", progress.samples}};
}

StageProgress progress_of(const Json& json) {
  return {json.at("steps").get<std::int64_t>(), json.at("samples").get<std::int64_t>()};
}

ScheduleState state_of(const Json& json) {
  ScheduleState state;
  json.at("stage").get_to(state.stage);
  json.at("running").get_to(state.running);
  json.at("ended").get_to(state.ended);
  state.progress = progress_of(json.at("progress"));
  state.seconds = number_of(json.at("seconds"));
  state.loss_sum = number_of(json.at("loss_sum"));
  json.at("loss_samples").get_to(state.loss_samples);
  state.best = optional_of(json.at("best"));
  for (const Json& trigger : json.at("triggers")) state.triggers.push_back(trigger_of(trigger));
  json.at("curve_start").get_to(state.curve_start);
  json.at("curve_length").get_to(state.curve_length);
  json.at("segment").get_to(state.segment);
  state.segment_progress = progress_of(json.at("segment_progress"));
  json.at("active").get_to(state.active);
  json.at("next_active").get_to(state.next_active);
  json.at("first_active").get_to(state.first_active);
  json.at("steps_since_thawed").get_to(state.steps_since_thawed);
  for (const auto& [group, signal] : json.at("signals").items()) {
    state.signals[group] = trigger_of(signal);
  }
  return state;
}

}  // namespace

std::string to_json(const ScheduleState& state) {
  Json json = {{"stage", state.stage},
               {"running", state.running},
               {"ended", state.ended},
               {"progress", progress_json(state.progress)},
               {"seconds", number_json(state.seconds)},
               {"loss_sum", number_json(state.loss_sum)},
               {"loss_samples", state.loss_samples},
               {"best", optional_json(state.best)},
               {"triggers", Json::array()},
               {"curve_start", state.curve_start},
               {"curve_length", state.curve_length},
               {"segment", state.segment},
               {"segment_progress", progress_json(state.segment_progress)},
               {"active", state.active},
               {"next_active", state.next_active},
               {"first_active", state.first_active},
               {"steps_since_thawed", state.steps_since_thawed},
               {"signals", Json::object()}};
  for (const TriggerState& trigger : state.triggers) {
    json["triggers"].push_back(trigger_json(trigger));
  }
  for (const auto& [group, signal] : state.signals) json["signals"][group] = trigger_json(signal);
  return json.dump();
}

ScheduleState schedule_state_from_json(std::string_view text) {
  try {
    return state_of(Json::parse(text));
  } catch (const Json::exception& error) {
    throw InputError(std::string("the state of a schedule cannot be read: ") + error.what());
  }
}

}  // namespace thaw
