#pragma once

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "core/base/error.h"
#include "core/config/toml_reader.h"
#include "core/schedule/end_condition.h"
#include "core/schedule/policies/policy.h"
#include "core/schedule/resolve_schedule.h"
#include "core/schedule/toml/end_condition_reader.h"
#include "core/schedule/toml/policy_reader.h"

namespace thaw {

/// MiniLM's groups.
inline const std::vector<std::string> kBert = {"embeddings", "encoder.0", "encoder.1", "encoder.2",
                                               "encoder.3",  "encoder.4", "encoder.5", "head"};
inline const std::vector<std::string> kResNet = {"stem",   "layer1", "layer2",
                                                 "layer3", "layer4", "head"};

/// Of a classification.
inline const MetricNames kMetrics = metric_names(
    {{"accuracy", MetricRule::Mode::kMax, 0, 1}, {"macro-f1", MetricRule::Mode::kMax, 0, 1}});

/// A complete file whose part about the schedule, `text`, begins on line 3. Batches of 10.
inline Schedule schedule_of(const std::string& text, const std::vector<std::string>& groups = kBert,
                            const std::vector<Override>& flags = {}, std::int64_t samples = 100) {
  return resolve_schedule(parse_configuration("model.architecture = \"bert\"\n"
                                              "data = { file = \"a.h5\", batch = 10 }\n" +
                                                  text,
                                              "a.toml", flags),
                          groups, samples, /*has_validation=*/true, kMetrics);
}

/// The condition `text`, "{ epochs = 1 }", of a stage with these groups and this curve.
inline EndCondition until_of(const std::string& text,
                             const std::vector<std::string>& groups = kBert,
                             const Curve& curve = {}) {
  Problems problems;
  const Setting table = read_toml("until = " + text, "a.toml");
  const auto until =
      read_end_condition(*table.find("until"), "until",
                         {.groups = groups, .curve = curve, .metrics = kMetrics}, problems);
  problems.throw_if_any();
  return *until;
}

/// Conditions of others.
inline EndCondition any(std::vector<EndCondition> conditions) {
  return {.kind = EndCondition::Kind::kAny, .conditions = std::move(conditions)};
}
inline EndCondition all(std::vector<EndCondition> conditions) {
  return {.kind = EndCondition::Kind::kAll, .conditions = std::move(conditions)};
}

/// The policy `text`, "{ kind = "random" }", of a stage with these groups.
inline Shared<Policy> policy_of(const std::string& text,
                                const std::vector<std::string>& groups = kBert) {
  Problems problems;
  const Setting table = read_toml("policy = " + text, "a.toml");
  const auto policy = read_policy(*table.find("policy"), "policy", groups, groups.back(), problems);
  problems.throw_if_any();
  return policy;
}

/// How long a stage is that a length alone ends: epochs or steps.
inline double length_of(const Stage& stage) { return stage.until.trigger->length().value(); }

/// Name and active groups of each stage, "head: encoder.5 head".
inline std::vector<std::string> outline(const Schedule& schedule) {
  std::vector<std::string> lines;
  for (const Stage& stage : schedule.stages) {
    lines.push_back(stage.name + ":");
    for (const std::string& group : stage.groups) lines.back() += " " + group;
  }
  return lines;
}

/// The message of the InputError that `schedule_of` throws.
inline std::string message_of_schedule(const std::string& text,
                                       const std::vector<Override>& flags = {},
                                       std::int64_t samples = 100) {
  try {
    schedule_of(text, kBert, flags, samples);
  } catch (const InputError& error) {
    return error.what();
  }
  return "no error";
}

}  // namespace thaw
