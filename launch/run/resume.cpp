#include "launch/run/resume.h"

#include <ATen/Parallel.h>
#include <ATen/Version.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <torch/version.h>

#include <filesystem>
#include <utility>

#include "core/base/error.h"
#include "core/base/file_kind.h"
#include "core/base/hash.h"
#include "core/base/system.h"
#include "core/checkpoint/durable_file.h"
#include "core/data/dataset.h"
#include "core/parallel/agreement.h"
#include "core/parallel/communicator.h"
#include "core/record/metrics_cut.h"
#include "core/schedule/resolve_schedule.h"
#include "core/schedule/schedule_state.h"
#include "core/tasks/task.h"
#include "core/train/resume_rules.h"
#include "launch/command/version.h"
#include "launch/run/checkpoint_weights.h"

namespace thaw {
namespace fs = std::filesystem;
namespace {

/// What `question` is on rank 0, where the run folder is looked at.
template <class Question>
bool ask_rank_0(Communicator& communicator, const Question& question) {
  const std::string answer = agreed(communicator, [&] {
    return std::string(communicator.rank() == 0 && question() ? "yes" : "no");
  });
  return communicator.broadcast(answer, /*root=*/0) == "yes";
}

/// Throws InputError where there is nothing at `path` that a run could go on from, saying what is.
void require_source(const fs::path& path) {
  std::error_code ignored;
  if (fs::is_directory(path, ignored)) {
    if (CheckpointWeights::is_at(path.string()) || fs::exists(path / "checkpoints", ignored))
      return;
    throw InputError(fmt::format("--resume {}: this folder holds no checkpoint", path.string()));
  }
  if (!fs::exists(path, ignored)) {
    throw InputError(fmt::format(
        "--resume {}: there is no such folder; auto, never, or the path of a checkpoint "
        "or of a run is wanted",
        path.string()));
  }
  const std::string above = fs::absolute(path).parent_path().string();
  throw InputError(
      fmt::format("--resume {}: a checkpoint's folder is wanted, or a run's, not a file{}; name {}",
                  path.string(), kind_clause(path.string()),
                  CheckpointWeights::is_at(above) || RunFolder(above).holds_a_run()
                      ? "the folder that it lies in"
                      : "one, as RUN/checkpoints/step-000000500"));
}

/// Decides and prepares; its members are what both need.
class RunStarter {
 public:
  RunStarter(const RunFolder& folder, const RunSetup& setup, const Schedule& schedule,
             const RunFacts& facts, Communicator& communicator)
      : folder_(folder),
        setup_(setup),
        schedule_(schedule),
        facts_(facts),
        communicator_(communicator) {}

  /// In a folder that holds no run yet; refused where it holds one.
  RunStart from_scratch() {
    agreed(communicator_, [&] {
      if (first()) folder_.check_usable();
    });
    return {};
  }

  /// From the newest good checkpoint of the run's own folder, if it holds a run.
  RunStart automatically() {
    if (!ask_rank_0(communicator_, [&] { return folder_.holds_a_run(); })) return from_scratch();
    const CheckpointStore store(folder_.checkpoints());
    agreed(communicator_, [&] {
      if (first()) store.finish_replacements();
    });
    RunStart start = newest_of(store);
    if (start.checkpoint == nullptr) return begin_again();
    go_on(start, /*own=*/true);
    return start;
  }

  /// From a checkpoint, or the newest of a run folder, at `path`: the run's own folder (then later
  /// checkpoints in it are put aside) or another's (then this run's folder must be empty).
  RunStart from(const fs::path& path) {
    RunStart start;
    agreed(communicator_, [&] {
      if (first()) require_source(path);
    });
    if (ask_rank_0(communicator_, [&] { return fs::is_directory(path / "checkpoints"); })) {
      start = newest_of(CheckpointStore(path / "checkpoints"));
      if (start.checkpoint == nullptr) {
        fail(fmt::format("{}: this run has no checkpoint", path.string()));
      }
    } else {
      start.checkpoint = std::make_unique<CheckpointReader>(path, communicator_);
    }
    const fs::path holder = fs::absolute(start.checkpoint->folder()).parent_path();
    const bool own = ask_rank_0(communicator_, [&] {
      std::error_code ignored;
      return fs::equivalent(holder, folder_.checkpoints(), ignored);
    });
    if (!own) from_scratch();
    go_on(start, own);
    return start;
  }

 private:
  bool first() const { return communicator_.rank() == 0; }

  [[noreturn]] static void fail(const std::string& message) {
    InputError error(message);
    error.mark_agreed();
    throw error;
  }

  /// The newest checkpoint that is whole, and why newer ones were passed over; null where there is
  /// none.
  RunStart newest_of(const CheckpointStore& store) {
    RunStart start;
    std::vector<RejectedCheckpoint> rejected;
    start.checkpoint = open_newest(store, communicator_, rejected);
    for (const RejectedCheckpoint& each : rejected) start.passed_over.push_back(each.reason);
    if (start.checkpoint == nullptr && !rejected.empty()) {
      fail(
          fmt::format("{}: no checkpoint in it is good:\n  {}\nBring one back, or begin a new run "
                      "with --run-dir",
                      store.path().string(), fmt::join(start.passed_over, "\n  ")));
    }
    return start;
  }

  /// The schedule of another configuration for this run's model and data.
  Schedule schedule_of(const ConfigurationDocument& document) const {
    return resolve_schedule(document, setup_.group_names(), setup_.dataset->split("train").size(),
                            /*has_validation=*/true, setup_.task->metric_names(),
                            setup_.group_aliases());
  }

  /// A run that ended before its first checkpoint is begun again, if it is this one.
  RunStart begin_again() {
    agreed(communicator_, [&] {
      if (!first()) return;
      const std::string path = folder_.resolved_configuration().string();
      if (fs::exists(folder_.last_weights()) || !fs::exists(path)) {
        folder_.check_usable();  // which it is not, and says what to do
      }
      const ConfigurationDocument before = read_configuration(path);
      accept_or_refuse({compare_configurations(before, setup_.document),
                        compare_stages(schedule_of(before), schedule_, schedule_.stages.size())},
                       folder_.path().string(), /*deterministic=*/false);
      folder_.check_writable();
      CheckpointStore(folder_.checkpoints()).clear_leftovers();
    });
    return {};
  }

  /// Fills `start` in from its checkpoint: refuses one of another configuration, data or schedule
  /// up to where it stands, warns of what may change bits, and brings the folder, where it is the
  /// run's own, back to that step.
  void go_on(RunStart& start, bool own) {
    const CheckpointReader& checkpoint = *start.checkpoint;
    const std::string name = checkpoint.folder().string();
    const ScheduleState& where = start.state.schedule;
    const std::vector<std::string> warnings = agreed(communicator_, [&] {
      start.state = training_state_from_json(checkpoint.state(), name + "/" + kStateFile);
      const ConfigurationDocument before =
          parse_configuration(checkpoint.configuration(), name + "/" + kConfigurationFile);
      return accept_or_refuse(
          {compare_configurations(before, setup_.document),
           compare_stages(schedule_of(before), schedule_, where.stage + (where.running ? 1 : 0)),
           compare_facts(start.state.facts, facts_,
                         setup_.configuration().train.reduction == Reduction::kCanonical)},
          name, setup_.configuration().train.deterministic);
    });
    // What was the best elsewhere has left no weights here.
    if (!own) start.state.best_evaluation.reset();
    const bool all_done = !where.running && where.stage >= schedule_.stages.size();
    start.goes_on = own;
    start.finished = own && all_done && ask_rank_0(communicator_, [&] {
                       return fs::exists(folder_.summary()) && fs::exists(folder_.last_weights());
                     });
    if (first()) {
      for (const std::string& reason : start.passed_over) {
        fmt::print(stderr, "thaw: warning: passed over a checkpoint: {}\n", reason);
      }
      for (const std::string& warning : warnings) {
        fmt::print(stderr, "thaw: warning: bits may differ from an uninterrupted run: {}\n",
                   warning);
      }
    }
    if (start.finished || !own) return;
    agreed(communicator_, [&] {
      if (!first()) return;
      folder_.check_writable();
      return_to(checkpoint.manifest().place, start.state);
    });
  }

  /// Takes back what the folder holds of later steps.
  void return_to(CheckpointPlace place, const TrainingState& state) const {
    const CheckpointStore store(folder_.checkpoints());
    store.clear_leftovers();
    for (const CheckpointPlace later : store.places()) {
      if (later > place) {
        fmt::print(stderr, "thaw: kept aside as {}\n", store.set_aside(later).string());
      }
    }
    for (const fs::path& gone : store.prune_set_aside()) {
      fmt::print(stderr, "thaw: removed {}: the {} newest that were set aside are kept\n",
                 gone.string(), kSetAsideKept);
    }
    const bool evaluated = state.last_evaluation && state.last_evaluation->step == state.step;
    const LoggedSteps logged = cut_metrics(folder_.metrics(), {state.step, evaluated});
    const std::string missing =
        missing_steps(logged, state.step, setup_.configuration().output.log_every);
    if (!missing.empty()) {
      fmt::print(stderr, "thaw: warning: {}: {}\n", folder_.metrics().string(), missing);
    }
    fs::remove(folder_.summary());
  }

  const RunFolder& folder_;
  const RunSetup& setup_;
  const Schedule& schedule_;
  const RunFacts& facts_;
  Communicator& communicator_;
};

/// The promise of train.reduction = "canonical" holds on one kind of machine.
void require_equal_machines(const RunFacts& facts, Communicator& communicator) {
  const std::vector<std::string> machines = communicator.all_gather(
      fmt::format("{}, {}, LibTorch {}", facts.processor, facts.cpu, facts.torch));
  for (std::size_t rank = 1; rank < machines.size(); ++rank) {
    if (machines[rank] == machines[0]) continue;
    InputError error(
        fmt::format("train.reduction is \"canonical\", which needs ranks of one kind: rank 0 has "
                    "{}, rank {} has "
                    "{}; choose hosts that are alike",
                    machines[0], rank, machines[rank]));
    error.mark_agreed();
    throw error;
  }
}

}  // namespace

RunFacts run_facts(const RunSetup& setup, std::map<std::string, std::string> identity,
                   Communicator& communicator) {
  RunFacts facts;
  facts.identity = std::move(identity);
  facts.ranks = communicator.size();
  facts.threads = at::get_num_threads();
  facts.device = setup.gpu ? "cuda" : "cpu";
  facts.cpu = at::get_cpu_capability();
  facts.processor = processor_kind();
  facts.torch = TORCH_VERSION;
  facts.version = thaw_version();
  facts.data = setup.dataset->fingerprint().hex();
  const std::string& config = setup.configuration().model.config;
  if (!config.empty()) {
    facts.model_file = agreed(
        communicator, [&] { return fingerprint(read_small_file(config, /*most=*/1 << 30)).hex(); });
  }
  if (setup.configuration().train.reduction == Reduction::kCanonical)
    require_equal_machines(facts, communicator);
  return facts;
}

RunStart start_run(const std::string& resume, const RunFolder& folder, const RunSetup& setup,
                   const Schedule& schedule, const RunFacts& facts, Communicator& communicator) {
  RunStarter starter(folder, setup, schedule, facts, communicator);
  if (resume == "never") return starter.from_scratch();
  if (resume == "auto") return starter.automatically();
  return starter.from(resume);
}

}  // namespace thaw
