#include <fmt/format.h>
#include <fmt/ranges.h>

#include <numeric>
#include <optional>

#include "core/data/dataset.h"
#include "core/parallel/self_communicator.h"
#include "core/schedule/end_condition_text.h"
#include "core/schedule/stage_length.h"
#include "core/train/parameter_table.h"
#include "launch/arguments.h"
#include "launch/job.h"
#include "launch/run_setup.h"
#include "launch/subcommand.h"
#include "launch/text_table.h"

namespace thaw {
namespace {

ArgumentParser make_parser() {
  ArgumentParser parser(
      "check CONFIG.toml [--SECTION.KEY VALUE ...]",
      "Validates configuration, data, weights and schedule without training, and prints the "
      "stages.");
  parser.positional("CONFIG", "the configuration file");
  parser.takes_configuration();
  return parser;
}

/// "head 1e-3, encoder.5 1e-4": neighbours with the same rate share it.
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
  return fmt::format("{}", fmt::join(parts, ", "));
}

/// "300", "at most 300" where something else may end the stage earlier, "open".
std::string steps_text(const EndCondition& until, std::optional<std::int64_t> most) {
  if (!most) {
    return "open";
  }
  return (length_is_known(until) ? "" : "at most ") + with_commas(*most);
}

void print_stages(const RunSetup& setup, const Schedule& schedule) {
  const ParameterTable parameters(*setup.model, setup.configuration().train.decay_norms_and_biases);
  const std::vector<std::int64_t> elements = parameters.elements_by_group();
  const std::int64_t all = std::accumulate(elements.begin(), elements.end(), std::int64_t{0});
  const std::int64_t samples = setup.dataset->split("train").size();
  const std::int64_t batch = setup.configuration().data.batch;
  TextTable table({"stage", ">active parameters", ">share", "ends after", ">steps",
                   "backward reaches", "learning rates"});
  std::int64_t cursor = 0;
  bool all_known = true;
  for (const Stage& stage : schedule.stages) {
    const StagePlan plan = make_stage_plan(parameters.groups(), parameters.facts(), stage);
    const auto steps = steps_of_stage(stage.until, cursor, samples, batch);
    cursor = advance_cursor(cursor, steps.value_or(0), samples, batch);
    all_known = all_known && length_is_known(stage.until);
    table.row({stage.name, with_commas(plan.elements()),
               fmt::format("{:.1f} %",
                           100.0 * static_cast<double>(plan.elements()) / static_cast<double>(all)),
               plain_text(stage.until), steps_text(stage.until, steps),
               parameters.groups()[plan.cut()], rates_text(stage)});
  }
  const double epochs = static_cast<double>(cursor) / static_cast<double>(samples);
  fmt::print("{}  {}\n", table.text(),
             all_known ? fmt::format("{:.2f} epochs in all", epochs)
                       : "how long it takes depends on what is found as the run goes");
}

ExitStatus check(const std::vector<std::string>& command_line) {
  const std::optional<ArgumentParser::Parsed> parsed = make_parser().parse(command_line);
  if (!parsed) {
    return ExitStatus::kDone;
  }
  const ArgumentParser::Parsed& arguments = *parsed;
  const std::unique_ptr<Communicator> alone = make_self_communicator();
  const RunSetup setup = set_up({arguments["CONFIG"], arguments.overrides}, *alone);
  const Schedule schedule = agreed_schedule(setup, *alone);
  fmt::print("{}\n", setup.dataset->describe());
  const Configuration& configuration = setup.configuration();
  fmt::print("model: {} from {}, groups {}\n", configuration.model.architecture,
             configuration.model.weights.empty() ? "scratch" : configuration.model.weights,
             fmt::join(setup.group_names(), ", "));
  print_stages(setup, schedule);
  fmt::print("{}: all is well\n", arguments["CONFIG"]);
  return ExitStatus::kDone;
}

}  // namespace

int run_check(std::vector<std::string> arguments) {
  return run_alone([&] { return check(arguments); });
}

}  // namespace thaw
