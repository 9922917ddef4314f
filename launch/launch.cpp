#include <fmt/format.h>

#include <ctime>
#include <filesystem>

#include "core/base/error.h"
#include "core/checkpoint/store.h"
#include "core/config/configuration_document.h"
#include "launch/command/subcommand.h"
#include "launch/job/job.h"
#include "launch/job/job_process.h"
#include "launch/job/launch_command.h"
#include "launch/job/own_program.h"
#include "launch/job/restart_clock.h"
#include "launch/train.h"

namespace thaw {

/// For the manual and for completion: what stands before `--` is half mpirun's, so parse_launch
/// reads it (launch/job/launch_command.h), and kHelp tells it.
ArgumentParser launch_parser() {
  ArgumentParser parser("launch -n N [--restarts R] [mpirun's options] -- train CONFIG.toml ...",
                        "Starts mpirun -n N thaw train ... and passes signals and statuses on: the "
                        "first Ctrl-C or SIGTERM lets the ranks save and end with status 75, the "
                        "second ends them at once. Everything else before -- is handed to mpirun.");
  parser.option("n", "ranks");
  parser.option("restarts",
                "starts the job again, up to so many times, where a rank has died or it failed; it "
                "goes on from its newest checkpoint",
                "0");
  return parser;
}

namespace {

constexpr const char* kHelp =
    "Usage: thaw launch -n N [--restarts R] [mpirun's options] -- train CONFIG.toml\n"
    "    ...\n\n"
    "Starts mpirun -n N thaw train ... and passes signals and statuses on: the first\n"
    "Ctrl-C or SIGTERM lets the ranks save and end with status 75, the second ends\n"
    "them at once.\n\n"
    "Options:\n"
    "  -n N           ranks\n"
    "  --restarts R   starts the job again, up to R times, where a rank has died or\n"
    "                 it failed; it goes on from its newest checkpoint. Waits 1, 2,\n"
    "                 4, ... s before, and gives up after two restarts that brought\n"
    "                 no newer checkpoint. Default: 0\n"
    "Everything else before -- is handed to mpirun. THAW_MPIEXEC names another\n"
    "mpirun. Started by root, as in most containers, it tells Open MPI that this is\n"
    "allowed.\n";

/// The run folder of what is to be started, where that is a training.
std::optional<std::filesystem::path> checkpoints_of(const std::vector<std::string>& subcommand) {
  if (subcommand.front() != "train") return std::nullopt;
  const std::vector<std::string> arguments(subcommand.begin() + 1, subcommand.end());
  const std::optional<ArgumentParser::Parsed> parsed = train_parser().parse(arguments);
  if (!parsed) return std::nullopt;
  const ConfigurationDocument document = read_configuration((*parsed)["CONFIG"], parsed->overrides);
  return run_folder(*parsed, document.configuration).checkpoints();
}

/// The step of the newest checkpoint that is there; -1: none, or nothing that makes any.
std::int64_t newest_step(const std::optional<std::filesystem::path>& checkpoints) {
  if (!checkpoints) return -1;
  const std::vector<CheckpointPlace> places = CheckpointStore(*checkpoints).places();
  return places.empty() ? -1 : places.back().step;
}

/// mpirun with the user's options, and this same program as its ranks.
std::vector<std::string> command_of(const LaunchRequest& request) {
  std::vector<std::string> command = mpirun_command(request.ranks);
  command.insert(command.end(), request.mpirun_options.begin(), request.mpirun_options.end());
  command.push_back(own_program());
  command.insert(command.end(), request.subcommand.begin(), request.subcommand.end());
  return command;
}

/// Starts the job, and again as long as `start_again` says so. Returns the status that the last
/// life of the job ended with, as a shell would have it, for this process to end with.
int launch(const std::vector<std::string>& arguments) {
  const LaunchRequest request = parse_launch(arguments);
  if (request.help) {
    fmt::print("{}", kHelp);
    return 0;
  }
  if (find_launcher() != Launcher::kNone) {
    throw InputError("launch: starts mpirun itself; it is not to be run under a launcher");
  }
  JobProcess job;  // from here on signals are heard
  const std::optional<std::filesystem::path> checkpoints = checkpoints_of(request.subcommand);
  const std::vector<std::string> command = command_of(request);
  std::vector<JobLife> lives;
  std::vector<std::string> environment;
  while (true) {
    const int status = job.run(command, environment);
    environment = {restart_clock_setting()};
    lives.push_back({status, newest_step(checkpoints)});
    if (!start_again(lives, request.restarts, job.asked_to_stop())) break;
    const double wait = back_off_seconds(lives);
    fmt::print(stderr, "thaw: the job ended with status {}; restart {} of {} in {:.0f} s, {}\n",
               status, lives.size(), request.restarts, wait,
               lives.back().saved_step < 0
                   ? std::string("from the start")
                   : fmt::format("from the checkpoint at step {}", lives.back().saved_step));
    job.sleep(wait);
    if (job.asked_to_stop()) return static_cast<int>(ExitStatus::kRequeue);
  }
  if (lives.size() > 2 && lives.back().status != 0 && !job.asked_to_stop()) {
    fmt::print(stderr, "thaw: gave up after {} restarts; newest checkpoint: step {}\n",
               lives.size() - 1, lives.back().saved_step);
  }
  return lives.back().status;
}

}  // namespace

int run_launch(std::vector<std::string> arguments) {
  let_root_start_mpirun();
  int status = 0;
  const int failed = run_alone([&] {
    status = launch(arguments);
    return ExitStatus::kDone;
  });
  return failed != 0 ? failed : status;
}

}  // namespace thaw
