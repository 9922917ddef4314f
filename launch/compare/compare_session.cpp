#include "launch/compare/compare_session.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <unistd.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "core/base/error.h"
#include "core/base/input_text.h"
#include "core/base/json_text.h"
#include "core/base/text_bytes.h"
#include "core/base/whole_file.h"
#include "core/data/dataset.h"
#include "core/parallel/one_rank.h"
#include "core/record/run_folder.h"
#include "core/tasks/task.h"
#include "dist/communicator/host_topology.h"
#include "launch/command/version.h"
#include "launch/compare/compare_identity.h"
#include "launch/compare/comparison_folder.h"
#include "launch/compare/comparison_text.h"
#include "launch/compare/score_metric.h"
#include "launch/compare/verdict.h"
#include "launch/job/child_jobs.h"
#include "launch/job/own_program.h"
#include "launch/job/stop_signals.h"
#include "launch/run/file_deadline.h"
#include "launch/run/run_setup.h"
#include "launch/terminal/screen.h"

namespace thaw {
namespace {

namespace fs = std::filesystem;

constexpr const char *kRequestFile = "request.json", *kIdentityKey = "identity";  ///< in it
constexpr std::size_t kStepsAStage = 8;          ///< to measure what a schedule costs
constexpr std::int64_t kLargestFile = 64 << 20;  ///< of those that are read here

/// Of a file that this program wrote.
nlohmann::json read_json(const fs::path& path) {
  return read_json_object<nlohmann::json>(path.string(), kLargestFile,
                                          "what `thaw compare` wrote there");
}

/// Beside the run's folder, which does not exist yet when its log begins.
fs::path log_of(const fs::path& run_folder) {
  return run_folder.parent_path() / (run_folder.filename().string() + ".log");
}

/// Between two things that are each done in an instant, or stop by themselves.
void stop_where_asked() {
  if (StopSignals::came()) throw JobsStopped("stopped by a signal");
}

/// Throws InputError where the comparison in the folder was begun with other data, weights or
/// versions than there are now.
void check_identity_of(const fs::path& folder, const nlohmann::json& begun, const NamedFacts& now) {
  if (!begun.contains(kIdentityKey)) {
    fmt::print(stderr,
               "thaw: warning: {} was begun by a version that did not write down its data and "
               "weights: whether they are the same cannot be told\n",
               printable(folder.string()));
    return;
  }
  const auto before = begun.at(kIdentityKey).get<NamedFacts>();
  const std::string changed = changed_facts(before, now);
  if (changed.empty()) return;
  throw InputError(fmt::format(
      "{} holds a comparison of something else:{}\nundo the change, name another folder "
      "with --output, or delete it",
      folder.string(), changed));
}

/// Whether the folder holds the comparison that is wanted; false where it is new. Throws InputError
/// where it holds something else.
bool check_request_of(const fs::path& folder, const nlohmann::json& wanted,
                      const NamedFacts& facts) {
  const fs::path path = folder / kRequestFile;
  if (fs::exists(path)) {
    nlohmann::json found = read_json(path);
    const nlohmann::json whole = found;
    if (found.is_object()) found.erase(kIdentityKey);
    if (found == wanted) {
      check_identity_of(folder, whole, facts);
      return true;
    }
    throw InputError(fmt::format(
        "{} holds a comparison of another configuration, budget or number of ranks; name another "
        "folder with --output, or delete it",
        folder.string()));
  }
  std::error_code error;
  for (fs::directory_iterator each(folder, error), end; !error && each != end;
       each.increment(error)) {
    if (is_lease(each->path())) continue;
    throw InputError(fmt::format(
        "{} is there and holds no comparison; name another folder with --output", folder.string()));
  }
  return false;
}

}  // namespace

CompareSession::CompareSession(CompareRequest request, fs::path folder, StopSignals& signals)
    : request_(std::move(request)),
      folder_(std::move(folder)),
      signals_(signals),
      thaw_(own_program()) {}

void CompareSession::run() {
  for (const std::string& schedule : request_.schedules) checked_[schedule] = check(schedule);
  const auto cores = static_cast<std::int64_t>(physical_cores(allowed_cpus()).size());
  request_.threads =
      threads_beside_others(request_, checked_.begin()->second.threads_configured, cores);
  claim_folder();
  set_lengths();
  choose_rates();
  std::vector<PlannedRun> runs = compared_runs(request_);
  for (PlannedRun& run : runs) {
    run.epochs = epochs_.at(run.schedule);
    if (!chosen_rates_.empty()) run.learning_rate = chosen_rates_.at({run.schedule, run.fraction});
  }
  train(runs, RunPurpose::kCompared);
  measure(runs);
  report(runs);
}

// ---------------------------------------------------------------------- before anything is run

CompareSession::CheckedSchedule CompareSession::check(const std::string& schedule) {
  const std::unique_ptr<Communicator> alone = make_self_communicator();
  FileDeadline files(*alone);
  SetupRequest setup_request{.path = request_.configuration,
                             .overrides = request_.overrides,
                             .splits_if_any = {"test"},  // which is measured too
                             .configured = files.by_configuration()};
  setup_request.overrides.push_back({"schedule.preset", schedule});
  const RunSetup setup = set_up(setup_request, *alone);
  const double epochs = setup.document.schedule.total_epochs;
  if (epochs <= 0) {
    throw InputError(fmt::format(
        "{}: schedules are compared at equal lengths: set schedule.total-epochs, in the file or "
        "with --schedule.total-epochs",
        request_.configuration));
  }
  if (!setup.dataset->has_split("validation")) {
    throw InputError(
        fmt::format("{}: schedules are compared on a validation split, and the data has none",
                    request_.configuration));
  }
  if (identity_.kept.empty()) {  // the same for all schedules
    identity_ = run_identity(setup, RunFolder(folder_).identity(), *alone, nullptr);
  }
  metric_ = score_metric(request_.metric, *setup.task);
  return {agreed_schedule(setup, *alone).stages.size(), epochs, setup.dataset->has_split("test"),
          setup.document.given.contains("train.threads")};
}

/// The folder belongs to one request, since another one's runs would be taken for this one's, and
/// to one process at a time.
void CompareSession::claim_folder() {
  nlohmann::json wanted{
      {"configuration", fs::absolute(request_.configuration).string()},
      {"text", read_input_text(request_.configuration, kLargestFile)},
      {"budget", request_.budget},
      {"reference", request_.budget == "samples" ? "" : request_.schedules.front()},
      {"ranks", request_.ranks},
      {"flags", nlohmann::json::object()}};
  for (const Override& each : request_.overrides) wanted["flags"][each.key] = each.value;
  const NamedFacts facts = common_facts(identity_.facts);
  nlohmann::json readable = nlohmann::json::parse(json_text(wanted));  // a path may be no UTF-8
  check_request_of(folder_, readable, facts);
  StopSignals::training_begins();  // the folder and its lease are not to be left behind
  std::error_code error;
  fs::create_directories(folder_, error);
  if (error) {
    throw InputError(fmt::format("{} cannot be created: {}", folder_.string(), error.message()));
  }
  lease_.emplace(folder_, LeaseTiming{.waiting = stop_where_asked});
  remove_half_written(folder_);
  if (!check_request_of(folder_, readable, facts)) {  // under the lease: it stays so
    readable[kIdentityKey] = facts;
    write_whole_file(folder_ / kRequestFile, json_text(readable, 1) + "\n");
  }
  write_whole_file(RunFolder(folder_).identity(), identity_.kept);
}

// ---------------------------------------------------------------------- lengths and rates

void CompareSession::set_lengths() {
  const std::string& reference = request_.schedules.front();
  const double epochs = checked_.at(reference).epochs;
  if (request_.budget == "samples") {
    for (const std::string& schedule : request_.schedules) epochs_[schedule] = epochs;
    return;
  }
  const double reference_cost = cost_of(reference);
  for (const std::string& schedule : request_.schedules) {
    epochs_[schedule] = epochs_of_budget(epochs, reference_cost, cost_of(schedule));
    fmt::print("  {}: {:.2f} epochs for the budget\n", schedule, epochs_.at(schedule));
  }
}

/// Seconds a step or operations a sample, of a few steps of each stage.
double CompareSession::cost_of(const std::string& schedule) {
  const fs::path run_folder = folder_ / "cost" / schedule;
  if (!is_there(run_folder)) {
    prepare(run_folder);
    PlannedRun run{schedule, 1, 0, 0, 1};
    std::vector<std::string> command =
        train_command(request_, run, thaw_, run_folder.string(), RunPurpose::kChoosing);
    const auto length = std::find(command.begin(), command.end(), "--schedule.total-epochs");
    *(length + 1) = "0";
    command.insert(command.end(), {"--schedule.total-steps",
                                   std::to_string(kStepsAStage * checked_.at(schedule).stages),
                                   "--train.evaluate-every", "1000000000"});
    run_all({{command, "cost of " + schedule, log_of(run_folder)}});
  }
  const nlohmann::json summary = read_json(run_folder / "summary.json");
  double sum = 0;
  for (const nlohmann::json& stage : summary.at("stages")) {
    sum += request_.budget == "flops"
               ? stage.at("flops").get<double>() / stage.at("samples").get<double>()
               : stage.at("step_seconds_median").get<double>();
  }
  return sum / static_cast<double>(summary.at("stages").size());
}

void CompareSession::choose_rates() {
  std::vector<PlannedRun> runs = choosing_runs(request_);
  if (runs.empty()) return;
  for (PlannedRun& run : runs) run.epochs = epochs_.at(run.schedule);
  train(runs, RunPurpose::kChoosing);
  std::map<std::pair<std::string, double>, double> best;
  for (const PlannedRun& run : runs) {
    const double score = read_run(folder_of(run), metric_).last().score;
    const std::pair key{run.schedule, run.fraction};
    const auto found = best.find(key);
    const bool better = found == best.end() ||
                        (metric_.lower_is_better ? score < found->second : score > found->second);
    if (!better) continue;
    best[key] = score;
    chosen_rates_[key] = run.learning_rate;
  }
}

// ---------------------------------------------------------------------- runs

fs::path CompareSession::folder_of(const PlannedRun& run) const {
  return folder_ / "runs" / run.folder();
}

bool CompareSession::is_there(const fs::path& run_folder) const {
  return fs::exists(run_folder / "summary.json") &&
         run_is_of(run_folder, common_facts(identity_.facts));
}

void CompareSession::prepare(const fs::path& run_folder) const {
  start_anew(folder_, run_folder);
  fs::create_directories(run_folder);
  write_whole_file(RunFolder(run_folder).identity(), identity_.kept);
}

void CompareSession::train(const std::vector<PlannedRun>& runs, RunPurpose purpose) {
  std::vector<NamedJob> jobs;
  for (const PlannedRun& run : runs) {
    const fs::path run_folder = folder_of(run);
    if (is_there(run_folder)) continue;
    stop_where_asked();
    prepare(run_folder);
    jobs.push_back({train_command(request_, run, thaw_, run_folder.string(), purpose),
                    run.describe(), log_of(run_folder)});
  }
  if (jobs.size() < runs.size()) {
    fmt::print("  {} of {} runs are there already\n", runs.size() - jobs.size(), runs.size());
  }
  if (request_.parallel > 1 && !jobs.empty()) {
    write_whole_file(shared_cores(), "Runs here shared cores, so times are left out.\n");
  }
  run_all(jobs);
}

/// There once runs were made beside each other: also a later report of theirs leaves times out.
fs::path CompareSession::shared_cores() const { return folder_ / "shared-cores"; }

std::vector<std::string> CompareSession::measured_splits(const PlannedRun& run) const {
  std::vector<std::string> splits = {"train"};
  if (checked_.at(run.schedule).has_test) splits.emplace_back("test");
  return splits;
}

/// Training data (and test data, where there is some) in evaluation mode, by the last weights.
void CompareSession::measure(const std::vector<PlannedRun>& runs) {
  std::vector<NamedJob> jobs;
  for (const PlannedRun& run : runs) {
    const fs::path run_folder = folder_of(run);
    for (const std::string& split : measured_splits(run)) {
      const fs::path measured = measured_of(run_folder, split);
      if (fs::exists(measured)) continue;
      std::vector<std::string> command = {thaw_, "evaluate", request_.configuration};
      const std::vector<std::string> flags = run_flags(request_, run);
      command.insert(command.end(), flags.begin(), flags.end());
      command.insert(command.end(), {"--split", split, "--weights",
                                     (run_folder / "weights.safetensors").string()});
      jobs.push_back({command, fmt::format("{}: {} split", run.describe(), split),
                      run_folder / ("evaluation." + split + ".log"), measured});
    }
  }
  run_all(jobs);
}

void CompareSession::run_all(const std::vector<NamedJob>& jobs) const {
  lease_->claim().check();
  std::vector<ChildJob> children;
  for (const NamedJob& job : jobs) {
    const fs::path output = job.result.empty() ? job.log : partial_of(job.result);
    children.push_back({job.command, output, job.log});
  }
  std::size_t done = 0;
  stop_where_asked();
  const auto ended = [&](std::size_t index, int status) {
    const NamedJob& job = jobs[index];
    lease_->claim().check();
    if (status != 0) {
      throw RunError(
          fmt::format("{}: ended with status {}; see {}", job.name, status, job.log.string()));
    }
    if (!job.result.empty()) fs::rename(children[index].output, job.result);
    fmt::print("  [{}/{}] {}\n", ++done, jobs.size(), job.name);
    std::fflush(stdout);
  };
  run_jobs(children, static_cast<int>(request_.parallel), ended, signals_);
}

// ---------------------------------------------------------------------- report

RunRecord CompareSession::record_of(const PlannedRun& run) const {
  const fs::path run_folder = folder_of(run);
  RunRecord record = read_run(run_folder, metric_);
  record.schedule = run.schedule;
  record.fraction = run.fraction;
  record.learning_rate = run.learning_rate;
  record.seed = run.seed;
  for (const std::string& split : measured_splits(run)) {
    const nlohmann::json json = read_json(measured_of(run_folder, split));
    const bool test = split == "test";
    (test ? record.test_loss : record.train_loss) = json.at("loss").get<double>();
    const nlohmann::json& score = json.at(key_of_metric(record.metric));
    (test ? record.test_score : record.train_score) = score.is_number() ? score.get<double>() : 0;
  }
  return record;
}

void CompareSession::report(const std::vector<PlannedRun>& runs) const {
  std::vector<RunRecord> records;
  records.reserve(runs.size());
  for (const PlannedRun& run : runs) records.push_back(record_of(run));
  ComparisonFacts facts;
  facts.configuration = request_.configuration;
  facts.schedules = request_.schedules;
  facts.budget = request_.budget == "flops" ? "floating-point operations" : request_.budget;
  facts.seeds = request_.seeds;
  facts.target = request_.target;
  facts.timed = !fs::exists(shared_cores());
  facts.version = fmt::format("{}; {} rank{} a run", version_line(), request_.ranks,
                              request_.ranks == 1 ? "" : "s");
  if (!chosen_rates_.empty()) {
    facts.rates_chosen_by = fmt::format(
        "Learning rates: of {:g}, the one with the best validation {} after one run of each "
        "schedule with seed {}, which is not among the compared ones.",
        fmt::join(request_.learning_rates, ", "), records.front().metric, request_.seeds);
  }
  const Comparison comparison = compare_runs(facts, records);
  const std::string markdown = comparison_markdown(comparison);
  lease_->claim().check();
  write_whole_file(folder_ / "comparison.md", markdown);
  write_whole_file(folder_ / "comparison.json", comparison_json(comparison));
  write_whole_file(folder_ / "comparison.html", comparison_page(comparison));
  fmt::print("\n{}\nkept in {}: comparison.md, comparison.json, comparison.html\n",
             comparison_for_terminal(comparison, screen_columns(STDOUT_FILENO, 80)),
             folder_.string());
}

}  // namespace thaw
