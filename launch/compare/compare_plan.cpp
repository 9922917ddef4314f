#include "launch/compare/compare_plan.h"

#include <fmt/format.h>

#include <algorithm>

#include "launch/job/launch_command.h"

namespace thaw {
namespace {

void add_flag(std::vector<std::string>& flags, const std::string& key, const std::string& value) {
  flags.push_back("--" + key);
  flags.push_back(value);
}

}  // namespace

std::string PlannedRun::folder() const {
  std::string name = schedule;
  if (fraction != 1) name += fmt::format("/fraction-{:g}", fraction);
  if (learning_rate > 0) name += fmt::format("/rate-{:g}", learning_rate);
  return fmt::format("{}/seed-{}", name, seed);
}

std::string PlannedRun::describe() const {
  std::string text = schedule;
  if (fraction != 1) text += fmt::format(", {:g} % of the data", 100 * fraction);
  if (learning_rate > 0) text += fmt::format(", learning rate {:g}", learning_rate);
  return fmt::format("{}, seed {}", text, seed);
}

std::vector<PlannedRun> choosing_runs(const CompareRequest& request) {
  std::vector<PlannedRun> runs;
  if (request.learning_rates.size() < 2) return runs;
  for (const double fraction : request.fractions) {
    for (const std::string& schedule : request.schedules) {
      for (const double rate : request.learning_rates) {
        runs.push_back({schedule, fraction, rate, request.seeds, 0});
      }
    }
  }
  return runs;
}

std::vector<PlannedRun> compared_runs(const CompareRequest& request) {
  std::vector<PlannedRun> runs;
  const double rate = request.learning_rates.size() == 1 ? request.learning_rates.front() : 0;
  for (std::int64_t seed = 0; seed < request.seeds; ++seed) {
    for (const double fraction : request.fractions) {
      for (const std::string& schedule : request.schedules) {
        runs.push_back({schedule, fraction, rate, seed, 0});
      }
    }
  }
  return runs;
}

std::int64_t threads_beside_others(const CompareRequest& request, bool configured,
                                   std::int64_t cores) {
  if (request.parallel == 1 || configured) return 0;
  return std::max<std::int64_t>(1, cores / (request.parallel * request.ranks));
}

std::vector<std::string> run_flags(const CompareRequest& request, const PlannedRun& run) {
  std::vector<std::string> flags;
  for (const Override& each : request.overrides) add_flag(flags, each.key, each.value);
  // Making its files is in no step, so that steps would cost less than the run does.
  const auto names_cache = [](const Override& each) { return each.key == "train.prefix-cache"; };
  if (request.budget != "samples" &&
      std::none_of(request.overrides.begin(), request.overrides.end(), names_cache)) {
    add_flag(flags, "train.prefix-cache", "off");
  }
  if (request.threads > 0) add_flag(flags, "train.threads", fmt::format("{}", request.threads));
  add_flag(flags, "schedule.preset", run.schedule);
  add_flag(flags, "schedule.stage-epochs", "0");
  add_flag(flags, "schedule.total-epochs", fmt::format("{}", run.epochs));
  if (run.learning_rate > 0) {
    add_flag(flags, "schedule.learning-rate", fmt::format("{}", run.learning_rate));
  }
  if (run.fraction != 1) add_flag(flags, "data.fraction", fmt::format("{}", run.fraction));
  add_flag(flags, "data.seed", fmt::format("{}", run.seed));
  add_flag(flags, "train.seed", fmt::format("{}", run.seed));
  return flags;
}

std::vector<std::string> train_command(const CompareRequest& request, const PlannedRun& run,
                                       const std::string& thaw, const std::string& run_folder,
                                       RunPurpose purpose) {
  std::vector<std::string> command;
  if (request.ranks > 1) {
    command = mpirun_command(request.ranks);
    command.insert(command.end(), {"--bind-to", "none"});
  }
  command.insert(command.end(), {thaw, "train", request.configuration});
  const std::vector<std::string> flags = run_flags(request, run);
  command.insert(command.end(), flags.begin(), flags.end());
  // A run that was cut short is made anew; hundreds of them would fill a disk with checkpoints.
  command.insert(command.end(), {"--checkpoint.every-steps", "-1", "--run-dir", run_folder});
  // Nobody reads the weights of a run that chooses a rate; of others the training split is measured
  // where the run itself has it at hand, else by a program that runs the whole network for it.
  command.push_back(purpose == RunPurpose::kChoosing ? "--weights-later" : "--measure-cached");
  return command;
}

double epochs_of_budget(double epochs, double reference_cost, double cost) {
  return epochs * reference_cost / cost;
}

}  // namespace thaw
