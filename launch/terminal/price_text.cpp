#include "launch/terminal/price_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

#include "core/base/json_text.h"
#include "core/base/system.h"
#include "launch/price/price.h"
#include "launch/terminal/text_table.h"

namespace thaw {
namespace {

constexpr std::size_t kPriceColumns = 80;

/// "12.3", of milliseconds.
std::string milliseconds(double seconds) {
  const double value = 1e3 * seconds;
  return fmt::format("{:.{}f}", value, value < 10 ? 2 : value < 1000 ? 1 : 0);
}

std::string price_steps(const StagePrice& stage) {
  if (stage.steps == 0) return "open";
  return (stage.may_be_fewer ? "<= " : "") + with_commas(stage.steps);
}

std::string time_text(double seconds) {
  return seconds < 60 ? fmt::format("{:.1f} s", seconds) : clock_text(seconds);
}

/// What a step takes, and of what it is made.
std::string steps_table(const Price& price) {
  TextTable table({"stage", ">steps", ">ms/step", ">forward", ">back-\nward", ">opti-\nmizer",
                   ">waits\nfor sums", ">rest"});
  for (const StagePrice& stage : price.stages) {
    const StepPrice& step = stage.step;
    table.row({stage.name + (stage.interpolated ? " ~" : ""), price_steps(stage),
               milliseconds(step.seconds()), milliseconds(step.forward),
               milliseconds(step.backward), milliseconds(step.optimizer),
               milliseconds(step.exposed), milliseconds(step.data + step.other)});
  }
  return table.text(kPriceColumns);
}

/// What a stage takes in all.
std::string stages_table(const Price& price) {
  TextTable table({"stage", ">time", ">steps", ">evalu-\nations", ">other", ">memory\na rank",
                   ">reduced\na step"});
  for (const StagePrice& stage : price.stages) {
    const double other = stage.seconds() - stage.steps_seconds - stage.evaluation_seconds;
    table.row({stage.name, stage.steps == 0 ? "open" : time_text(stage.seconds()),
               time_text(stage.steps_seconds), time_text(stage.evaluation_seconds),
               time_text(stage.steps == 0 ? 0 : other), memory_text(stage.memory_bytes),
               (stage.bytes_are_exact ? "" : "~ ") + bytes_text(stage.bytes)});
  }
  return table.text(kPriceColumns);
}

/// What the cache does, of neighbours that do the same once; nothing where it is off.
std::string cache_table(const Price& price) {
  TextTable table({"stage", "prefix cache"});
  bool any = false;
  for (std::size_t s = 0; s < price.stages.size();) {
    std::size_t last = s;
    while (last + 1 < price.stages.size() &&
           price.stages[last + 1].cache == price.stages[s].cache) {
      ++last;
    }
    const std::string& says = price.stages[s].cache;
    any = any || !says.empty();
    table.row({price.stages[s].name + (last > s ? " … " + price.stages[last].name : ""), says});
    s = last + 1;
  }
  return any ? "\n" + table.text(kPriceColumns) : "";
}

std::string origin_text(const Price& price) {
  const std::string ranks =
      fmt::format("{} rank{} of {} thread{}", with_commas(price.ranks), price.ranks == 1 ? "" : "s",
                  price.threads, price.threads == 1 ? "" : "s");
  if (price.network.empty()) {
    return fmt::format("price on {} here, by {:.1f} s of steps that were run\n", ranks,
                       price.probe_seconds);
  }
  return fmt::format(
      "price on {} of \"{}\", by {:.1f} s of steps of one\nrank here and buckets "
      "replayed over that network\n",
      ranks, price.network, price.probe_seconds);
}

std::string remarks(const Price& price) {
  std::string text;
  const auto any = [&](bool StagePrice::*member) {
    return std::any_of(price.stages.begin(), price.stages.end(),
                       [&](const StagePrice& stage) { return stage.*member; });
  };
  if (any(&StagePrice::interpolated)) {
    text += "  ~: between stages that were run; there was no time for all\n";
  }
  if (price.network.empty() && price.probed_samples < price.batch) {
    text += fmt::format("  steps of {} samples were run, and a line laid through them to {}\n",
                        with_commas(price.probed_samples), with_commas(price.batch));
  }
  if (any(&StagePrice::may_be_fewer)) {
    text += "  a stage may end earlier, or is left open: then so does the time\n";
  }
  if (price.network.empty()) {
    text +=
        "  other: transitions, the cache's making, saving (as if each evaluation were\n"
        "  the best so far); memory: at most\n";
  } else {
    text += "  without evaluations, transitions and saving\n";
  }
  for (const StagePrice& stage : price.stages) {
    if (price.fits(stage)) continue;
    text += fmt::format("  {} does not fit into the {} of a rank\n", stage.name,
                        memory_text(price.network_memory));
  }
  return text;
}

nlohmann::ordered_json stage_json(const Price& price, const StagePrice& stage) {
  nlohmann::ordered_json json;
  json["name"] = stage.name;
  json["steps"] = stage.steps;
  json["may_be_fewer"] = stage.may_be_fewer;
  json["step_seconds"] = stage.step.seconds();
  json["step"] = {{"forward", stage.step.forward},     {"backward", stage.step.backward},
                  {"optimizer", stage.step.optimizer}, {"data", stage.step.data},
                  {"exposed", stage.step.exposed},     {"other", stage.step.other}};
  json["seconds"] = stage.seconds();
  json["steps_seconds"] = stage.steps_seconds;
  json["transition_seconds"] = stage.transition_seconds;
  json["cache_seconds"] = stage.cache_seconds;
  json["evaluations"] = stage.evaluations;
  json["evaluation_seconds"] = stage.evaluation_seconds;
  json["saving_seconds"] = stage.saving_seconds;
  json["bytes_reduced_per_step"] = stage.bytes;
  json["bytes_are_exact"] = stage.bytes_are_exact;
  json["peak_memory_bytes"] = stage.memory_bytes;
  if (price.network_memory > 0) json["fits"] = price.fits(stage);
  json["interpolated"] = stage.interpolated;
  json["prefix_cache"] = stage.cache;
  return json;
}

}  // namespace

std::string price_text(const Price& price) {
  return fmt::format("{}{}\n{}{}{}  in all: {} steps, {}; {} a rank\n", origin_text(price),
                     steps_table(price), stages_table(price), cache_table(price), remarks(price),
                     with_commas(price.steps()), time_text(price.seconds()),
                     memory_text(price.memory_bytes()));
}

std::string price_json(const Price& price) {
  nlohmann::ordered_json json;
  json["ranks"] = price.ranks;
  json["threads"] = price.threads;
  json["network"] =
      price.network.empty() ? nlohmann::ordered_json() : nlohmann::ordered_json(price.network);
  if (price.network_memory > 0) json["network_memory_bytes"] = price.network_memory;
  json["probe_seconds"] = price.probe_seconds;
  json["batch"] = price.batch;
  json["probed_samples"] = price.probed_samples;
  json["seconds"] = price.seconds();
  json["steps"] = price.steps();
  json["peak_memory_bytes"] = price.memory_bytes();
  json["stages"] = nlohmann::ordered_json::array();
  for (const StagePrice& stage : price.stages) json["stages"].push_back(stage_json(price, stage));
  return json_text(json);
}

}  // namespace thaw
