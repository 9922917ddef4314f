#include "launch/terminal/stage_table.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <map>
#include <numeric>
#include <optional>
#include <string>
#include <vector>

#include "core/data/dataset.h"
#include "core/measure/operations.h"
#include "core/models/layers/batch_norm.h"
#include "core/models/model.h"
#include "core/schedule/end_condition.h"
#include "core/schedule/group_patterns.h"
#include "core/schedule/policies/policy.h"
#include "core/schedule/stage_length.h"
#include "core/step/freezer.h"
#include "core/step/parameter_table.h"
#include "dist/reduction/row_reduction.h"
#include "launch/run/run_setup.h"
#include "launch/terminal/text_table.h"

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
  const std::string groups = list_groups(stage.groups);
  if (!stage.policy) {
    return groups;
  }
  const std::vector<std::string>& always = stage.policy->always();
  return stage.policy->plain(groups) + (always.empty() ? "" : "; always " + list_groups(always));
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
    std::string part = stage.groups[i];
    if (last > i) part += " … " + stage.groups[last];
    part += fmt::format(" {:g}", stage.learning_rates[i]);
    std::replace(part.begin(), part.end(), ' ', TextTable::kHeld);
    parts.push_back(std::move(part));
    i = last + 1;
  }
  std::string text = fmt::format("{}", fmt::join(parts, ", "));
  if (stage.curve.shape != Curve().shape) {
    text += fmt::format("; {}{}", stage.curve.shape, stage.curve.continued ? ", continued" : "");
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

/// Whether some of them travel as the rows that a batch touched, where few are.
bool may_take_less(const StagePlan& plan, const ParameterTable& parameters) {
  return std::any_of(
      plan.parameters().begin(), plan.parameters().end(), [&](const ParameterFacts& facts) {
        return may_travel_by_rows(parameters.tensors()[parameters.index_of(facts.name)]);
      });
}

/// Measures what stages compute, once for each set of active groups.
class StepOperations {
 public:
  StepOperations(const RunSetup& setup, const ParameterTable& parameters)
      : setup_(setup),
        parameters_(parameters),
        freezer_(*setup.model, parameters, {}),
        batch_norms_(*setup.model) {}

  /// Of one step of the global batch.
  Flops of(const Stage& stage) {
    const Configuration& configuration = setup_.configuration();
    const auto [place, is_new] = measured_.try_emplace(stage.groups);
    if (is_new) {
      place->second =
          measure_flops(*setup_.model, batch_norms_, *setup_.dataset, *setup_.task, parameters_,
                        freezer_, stage, configuration.data, configuration.train);
    }
    return place->second * static_cast<double>(configuration.data.batch);
  }

 private:
  const RunSetup& setup_;
  const ParameterTable& parameters_;
  Freezer freezer_;
  const BatchNorms batch_norms_;
  std::map<std::vector<std::string>, Flops> measured_;
};

/// What stages train, how and for how long.
std::string contents_table(const RunSetup& setup, const Schedule& schedule, std::size_t columns) {
  const std::int64_t samples = setup.dataset->split("train").size();
  const std::int64_t batch = setup.configuration().data.batch;
  TextTable table({"stage", "groups", "learning rates", "ends after", ">steps"});
  std::int64_t cursor = 0;
  bool all_known = true;
  for (const Stage& stage : schedule.stages) {
    const auto steps = steps_of_stage(stage.until, cursor, samples, batch);
    cursor = advance_cursor(cursor, steps.value_or(0), samples, batch);
    all_known = all_known && length_is_known(stage.until);
    table.row({stage.name, groups_text(stage), rates_text(stage), plain_text(stage.until),
               steps_text(stage.until, steps)});
  }
  const double epochs = static_cast<double>(cursor) / static_cast<double>(samples);
  return table.text(columns) +
         (all_known ? fmt::format("  {:.2f} epochs in all\n", epochs)
                    : "  how long it takes depends on what is found as the run goes\n");
}

/// What a step of each stage computes and sends.
std::string costs_table(const RunSetup& setup, const Schedule& schedule, std::size_t columns) {
  const Configuration& configuration = setup.configuration();
  const ParameterTable parameters(*setup.model, configuration.train.decay_norms_and_biases);
  const std::vector<std::int64_t> elements = parameters.elements_by_group();
  const std::int64_t all = std::accumulate(elements.begin(), elements.end(), std::int64_t{0});
  StepOperations operations(setup, parameters);
  TextTable table({"stage", ">active\nparameters", ">share", "backward\nstops at", ">forward",
                   ">input\ngradients", ">weight\ngradients", ">all-reduce"});
  bool chosen = false;
  bool less = false;
  for (const Stage& stage : schedule.stages) {
    const StagePlan plan =
        make_stage_plan(parameters.groups(), parameters.facts(), stage, configuration.train);
    const Flops flops = operations.of(stage);
    const double share = 100.0 * static_cast<double>(plan.elements()) / static_cast<double>(all);
    chosen = chosen || stage.policy;
    less = less || may_take_less(plan, parameters);
    table.row({stage.name, with_commas(plan.elements()), fmt::format("{:.2f} %", share),
               parameters.places()[plan.cut()], flops_text(flops.forward),
               flops_text(flops.input_gradients), flops_text(flops.weight_gradients),
               bytes_text(gradient_bytes(plan))});
  }
  std::string text = table.folded(columns);
  text += fmt::format(
      "  of one step of {} samples over all ranks, floating-point operations by a trial of up to "
      "16;\n  all-reduce: gradients that each of several ranks gives\n",
      with_commas(configuration.data.batch));
  if (less && configuration.distributed.embedding_rows == EmbeddingRows::kAuto) {
    text += "  less where a batch touches few rows, as of embeddings: only these travel\n";
  }
  if (chosen) {
    text += "  of stages that choose their groups the figures are those of all groups\n";
  }
  return text;
}

}  // namespace

std::string stage_table(const RunSetup& setup, const Schedule& schedule, std::size_t columns) {
  return contents_table(setup, schedule, columns) + "\n" + costs_table(setup, schedule, columns);
}

}  // namespace thaw
