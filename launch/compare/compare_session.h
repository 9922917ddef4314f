#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/record/folder_lease.h"
#include "core/record/run_record.h"
#include "launch/compare/compare_plan.h"
#include "launch/identity/run_identity.h"

namespace thaw {

class StopSignals;

/// A comparison of schedules in a folder of its own: what it has already trained there it does not
/// train again.
class CompareSession {
 public:
  /// `signals`, which outlive it, stop it; until it takes its folder nothing is to be saved.
  CompareSession(CompareRequest request, std::filesystem::path folder, StopSignals& signals);

  /// Checks everything that the runs would find wrong, trains, measures, and writes the report.
  /// Throws InputError before anything is written; RunError where a run fails, naming its log;
  /// JobsStopped where a signal asks it to stop.
  void run();

 private:
  /// One schedule as the runs will have it.
  struct CheckedSchedule {
    std::size_t stages = 0;
    double epochs = 0;
    bool has_test = false;
    bool threads_configured = false;
  };
  /// A program, what it is called, and where its output goes once it has ended well ("": only its
  /// log is kept).
  struct NamedJob {
    std::vector<std::string> command;
    std::string name;
    std::filesystem::path log;
    std::filesystem::path result = {};
  };

  /// Sets a run with this schedule up without training; throws InputError for what it would find
  /// wrong.
  CheckedSchedule check(const std::string& schedule);
  /// Whether a run ended and is one of what is trained now; else it is made anew.
  bool is_there(const std::filesystem::path& run_folder) const;
  /// Empties a run's folder, and leaves it what is known of the data, which it need not read again.
  void prepare(const std::filesystem::path& run_folder) const;
  /// Takes the folder's lease and writes the request into it, or finds the same one there; else
  /// InputError.
  void claim_folder();

  /// Gives each schedule the epochs that its budget buys, measured where it is seconds or
  /// operations.
  void set_lengths();
  /// What a schedule costs, from a short run of its own: seconds a step or operations a sample.
  double cost_of(const std::string& schedule);
  /// Of several learning rates, each schedule's best on validation, by a seed that no other run
  /// has.
  void choose_rates();

  /// Makes those runs that have not ended yet; each in its folder, from scratch. `purpose`: what is
  /// wanted of them.
  void train(const std::vector<PlannedRun>& runs, RunPurpose purpose);
  /// Evaluates each run's last weights on the splits that nobody has measured yet.
  void measure(const std::vector<PlannedRun>& runs);
  /// Runs programs, `request_.parallel` at a time. Throws RunError at the first that fails, naming
  /// its log.
  void run_all(const std::vector<NamedJob>& jobs) const;
  std::vector<std::string> measured_splits(const PlannedRun& run) const;

  std::filesystem::path folder_of(const PlannedRun& run) const;
  /// A file that says that runs here shared cores, so that their times mean nothing.
  std::filesystem::path shared_cores() const;
  /// What a finished run wrote of itself, and what `measure` found.
  RunRecord record_of(const PlannedRun& run) const;
  /// Sums all runs up, prints the table and writes comparison.{md,json,html}.
  void report(const std::vector<PlannedRun>& runs) const;

  CompareRequest request_;
  std::filesystem::path folder_;
  StopSignals& signals_;
  std::optional<FolderLease> lease_;  ///< of the folder, once it is claimed
  std::string thaw_;                  ///< this program
  std::map<std::string, CheckedSchedule> checked_;
  ScoreMetric metric_;                                             ///< that is compared
  RunIdentity identity_;                                           ///< of what is compared
  std::map<std::string, double> epochs_;                           ///< of each schedule's runs
  std::map<std::pair<std::string, double>, double> chosen_rates_;  ///< by schedule and fraction
};

}  // namespace thaw
