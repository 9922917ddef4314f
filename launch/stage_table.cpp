#include "launch/stage_table.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <numeric>
#include <optional>
#include <vector>

#include "core/data/dataset.h"
#include "core/schedule/curve.h"
#include "core/schedule/end_condition_text.h"
#include "core/schedule/group_patterns.h"
#include "core/schedule/stage_length.h"
#include "core/train/parameter_table.h"
#include "launch/run_setup.h"
#include "launch/text_table.h"

namespace thaw {
namespace {

/// "300", "at most 300" where something else may end the stage earlier, "open".
std::string steps_text(const EndCondition& until, std::optional<std::int64_t> most) {
  if (!most) {
    return "open";
  }
  return (length_is_known(until) ? "" : "at most ") + with_commas(*most);
}

/// "encoder.4, encoder.5, head", or how a policy chooses.
std::string groups_text(const Stage& stage) {
  const Policy& policy = stage.policy;
  const std::string groups = list_groups(stage.groups);
  const std::string always = policy.always.empty() ? "" : "; always " + list_groups(policy.always);
  switch (policy.kind) {
    case Policy::Kind::kRandom:
      return fmt::format("{} drawn every {} steps of {}{}", policy.groups, policy.every_steps,
                         groups, always);
    case Policy::Kind::kAutoFreeze:
      return fmt::format("{}, freezing by gradients every {} steps{}", groups, policy.every_steps,
                         always);
    case Policy::Kind::kNone:
      break;
  }
  return groups;
}

/// "head 1e-3, encoder.5 1e-4; cosine": neighbours with the same rate share it.
std::string rates_text(const Stage& stage) {
  std::vector<std::string> parts;
  for (std::size_t i = 0; i < stage.groups.size();) {
    std::size_t last = i;
    while (last + 1 < stage.groups.size() &&
           stage.learning_rates[last + 1] == stage.learning_rates[i]) {
      ++last;
    }
    const std::string names =
        last == i ? stage.groups[i] : fmt::format("{} … {}", stage.groups[i], stage.groups[last]);
    parts.push_back(fmt::format("{} {:g}", names, stage.learning_rates[i]));
    i = last + 1;
  }
  std::string text = fmt::format("{}", fmt::join(parts, ", "));
  if (stage.curve.shape != Curve::Shape::kConstant) {
    text += fmt::format("; {}{}", name_of(stage.curve.shape),
                        stage.curve.continued ? ", continued" : "");
  }
  return text;
}

/// Gradients that are reduced in a step, all rows of embeddings counted.
std::int64_t gradient_bytes(const StagePlan& plan) {
  std::int64_t bytes = 0;
  for (const ParameterFacts& parameter : plan.parameters()) {
    bytes += parameter.elements() * static_cast<std::int64_t>(size_of(parameter.type));
  }
  return bytes;
}

}  // namespace

std::string stage_table(const RunSetup& setup, const Schedule& schedule) {
  const ParameterTable parameters(*setup.model, setup.configuration().train.decay_norms_and_biases);
  const std::vector<std::int64_t> elements = parameters.elements_by_group();
  const std::int64_t all = std::accumulate(elements.begin(), elements.end(), std::int64_t{0});
  const std::int64_t samples = setup.dataset->split("train").size();
  const std::int64_t batch = setup.configuration().data.batch;
  TextTable table({"stage", "groups", ">active parameters", ">share", "backward reaches",
                   ">bytes/step", "ends after", ">steps", "learning rates"});
  std::int64_t cursor = 0;
  bool all_known = true;
  bool chosen = false;
  for (const Stage& stage : schedule.stages) {
    const StagePlan plan = make_stage_plan(parameters.groups(), parameters.facts(), stage);
    const auto steps = steps_of_stage(stage.until, cursor, samples, batch);
    cursor = advance_cursor(cursor, steps.value_or(0), samples, batch);
    all_known = all_known && length_is_known(stage.until);
    chosen = chosen || stage.policy.kind != Policy::Kind::kNone;
    const double share = 100.0 * static_cast<double>(plan.elements()) / static_cast<double>(all);
    table.row({stage.name, groups_text(stage), with_commas(plan.elements()),
               fmt::format("{:.1f} %", share), parameters.places()[plan.cut()],
               bytes_text(gradient_bytes(plan)), plain_text(stage.until),
               steps_text(stage.until, steps), rates_text(stage)});
  }
  const double epochs = static_cast<double>(cursor) / static_cast<double>(samples);
  std::string text = table.text() + "  ";
  text += all_known ? fmt::format("{:.2f} epochs in all", epochs)
                    : "how long it takes depends on what is found as the run goes";
  if (chosen) {
    text += "; of stages that choose their groups the figures are those of all groups";
  }
  return text + "\n";
}

}  // namespace thaw
