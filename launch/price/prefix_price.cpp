#include "launch/price/prefix_price.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <memory>
#include <set>
#include <system_error>

#include "core/base/fact.h"
#include "core/base/stopwatch.h"
#include "core/config/configuration.h"
#include "core/data/cache/cache_file.h"
#include "core/data/dataset.h"
#include "core/models/model.h"
#include "core/parallel/agreement.h"
#include "core/parallel/one_rank.h"
#include "core/parallel/step_monitor.h"
#include "core/schedule/schedule_run.h"
#include "core/schedule/stage_options.h"
#include "core/schedule/stage_plan.h"
#include "core/step/freezer.h"
#include "core/step/parameter_table.h"
#include "core/train/prefix/prefix_use.h"
#include "core/train/trainer.h"
#include "launch/identity/program_identity.h"
#include "launch/price/rehearsal.h"
#include "launch/price/stage_spans.h"
#include "launch/run/run_setup.h"

namespace thaw {
namespace {

/// What is decided when the stage of demand `first` begins, and which of all boundaries each is.
struct Entered {
  PrefixCosts costs;
  std::vector<std::size_t> places;
};

Entered at_stage(const PrefixCosts& all, const std::vector<bool>& filled, std::size_t first) {
  Entered entered{.costs = all, .places = {}};
  entered.costs.boundaries.clear();
  entered.costs.demands.clear();
  std::vector<std::size_t> own(all.boundaries.size(), 0);
  for (std::size_t b = 0; b < all.boundaries.size(); ++b) {
    const bool needed =
        std::any_of(all.demands.begin() + static_cast<std::ptrdiff_t>(first), all.demands.end(),
                    [&](const PrefixDemand& demand) { return demand.boundary == b; });
    if (!needed) continue;
    own[b] = entered.places.size();
    entered.places.push_back(b);
    entered.costs.boundaries.push_back(all.boundaries[b]);
    entered.costs.boundaries.back().filled = filled[b];
  }
  for (std::size_t s = first; s < all.demands.size(); ++s) {
    entered.costs.demands.push_back({own[all.demands[s].boundary], all.demands[s].samples});
  }
  return entered;
}

/// Rank 0's, on all.
double agreed_seconds(double seconds, Communicator& ranks) {
  std::vector<double> numbers = {seconds};
  broadcast_numbers(ranks, numbers);
  return numbers.front();
}

constexpr const char* kRehearsalFolder = "rehearsal-";

/// Of rehearsals that were killed. Whose process that was cannot be asked, where hosts or
/// containers share the folder; but none takes a day.
void remove_left_folders(const std::filesystem::path& within) {
  namespace fs = std::filesystem;
  const auto a_day_ago = fs::file_time_type::clock::now() - std::chrono::hours(24);
  std::vector<fs::path> left;
  std::error_code error;
  for (fs::directory_iterator at(within, error), end; !error && at != end; at.increment(error)) {
    if (!at->path().filename().string().starts_with(kRehearsalFolder)) continue;
    std::error_code unknown;
    const fs::file_time_type written = at->last_write_time(unknown);
    if (!unknown && written < a_day_ago) left.push_back(at->path());
  }
  for (const fs::path& folder : left) fs::remove_all(folder, error);
}

double samples_to_come(const PrefixCosts& costs) {
  double samples = 0;
  for (const PrefixDemand& demand : costs.demands) samples += demand.samples;
  return samples;
}

}  // namespace

std::vector<StageReading> readings_of(const PrefixForesight& ahead, std::int64_t ranks) {
  std::vector<bool> filled;
  for (const PrefixBoundary& boundary : ahead.costs.boundaries) filled.push_back(boundary.filled);
  std::vector<StageReading> readings;
  for (std::size_t s = 0; s < ahead.costs.demands.size(); ++s) {
    StageReading& reading = readings.emplace_back();
    const Entered now = at_stage(ahead.costs, filled, s);
    if (samples_to_come(now.costs) < ahead.least_samples) {
      reading.why_not = "too few samples are to come for it to pay";
      continue;
    }
    const PrefixDecision decision = decide_prefix(now.costs);
    const auto shared = static_cast<double>(ranks);
    reading.seconds_without = decision.seconds_without / shared;
    reading.seconds_with = decision.seconds_with / shared;
    if (!decision.use) {
      reading.why_not = decision.kept.empty() ? "there is no room for it" : "it would not pay";
      continue;
    }
    double pass = 0;
    for (const std::size_t kept : decision.kept) {
      const PrefixBoundary& boundary = now.costs.boundaries[kept];
      if (boundary.filled) continue;
      pass = std::max(pass, boundary.seconds);
      reading.making_seconds += static_cast<double>(boundary.bytes) * now.costs.write_seconds;
      filled[now.places[kept]] = true;
    }
    reading.making_seconds += now.costs.samples * pass / shared;
    const std::size_t read = now.places[decision.kept.back()];
    reading.groups = ahead.groups[read];
    reading.bytes = ahead.costs.boundaries[read].bytes;
    reading.sample_seconds = ahead.costs.boundaries[read].seconds;
  }
  return readings;
}

std::vector<double> looking_seconds(const LookingQuestion& question) {
  constexpr double kFewestEvaluations = 2;  // in a run that is not told to use it
  std::vector<double> seconds(question.cuts.size(), 0);
  // From the last stage on, of those in a row before one that freezes nothing.
  double samples = 0;
  double evaluations = 0;
  for (std::size_t s = question.cuts.size(); s-- > 0;) {
    if (question.cuts[s] == 0) {
      samples = evaluations = 0;
      continue;
    }
    samples += static_cast<double>(question.spans[s].steps) * question.batch;
    evaluations += static_cast<double>(question.spans[s].evaluations);
    if (samples < question.ahead.least_samples) continue;
    const double share =
        static_cast<double>(question.cuts[s]) / static_cast<double>(question.cuts.front());
    const bool twice = question.evaluates && evaluations >= kFewestEvaluations;
    // Nothing was timed where the first stage freezes nothing.
    seconds[s] = question.cuts.front() == 0
                     ? 0
                     : std::min(1.0, share) * (twice ? 2 : 1) * question.ahead.looking_seconds;
  }
  return seconds;
}

ForeseenReadings foresee_readings(const RunSetup& setup, const Schedule& schedule,
                                  const ParameterTable& parameters, Communicator& ranks) {
  const Configuration& configuration = setup.configuration();
  const TrainOptions& train = configuration.train;
  if (train.prefix_cache == PrefixCacheUse::kOff) return {{}, "train.prefix-cache is \"off\""};
  const Stage& first = schedule.stages.front();
  std::set<std::string> active;
  const StagePlan plan = make_stage_plan(parameters.groups(), parameters.facts(), first, train);
  for (const ParameterFacts& facts : plan.parameters()) active.insert(facts.name);
  Freezer freezer(*setup.model, parameters, frozen_layers_of(resolve(train, first)));
  freezer.apply(active);
  setup.model->weights_changed();

  StepMonitor monitor;
  // By which a run knows a file that is there. What samples hold it has read before; here it is
  // read where somebody looks.
  RunFacts facts;
  facts.device = setup.gpu ? "cuda" : "cpu";
  facts.identity = facts_by_name(program_facts());
  const std::unique_ptr<StageCoordinator> unused = make_local_coordinator();
  const TrainerParts parts{.model = *setup.model,
                           .dataset = *setup.dataset,
                           .schedule = schedule,
                           .data = configuration.data,
                           .train = train,
                           .communicator = ranks,
                           .coordinator = *unused,
                           .task = setup.task,
                           .checkpoints = {.facts = facts}};
  ScheduleRun run(schedule, setup.dataset->split("train").size(), configuration.data.batch);
  run.begin_stage(0);
  PrefixUse use(parts, parameters, monitor);
  reset_peak(parameters);
  Stopwatch watch;
  const PrefixForesight ahead = use.foresee(run, 0);
  ForeseenReadings foreseen{.readings = {},
                            .why_not = ahead.why_not,
                            .least_samples = ahead.least_samples,
                            .looking_seconds = agreed_seconds(watch.lap(), ranks),
                            .looking_bytes = peak_bytes(parameters)};
  // The first time memory and plans are made, which no later stage makes again.
  constexpr double kBrief = 0.5;
  if (foreseen.looking_seconds < kBrief) {
    use.foresee(run, 0);
    foreseen.looking_seconds = agreed_seconds(watch.lap(), ranks);
  }
  if (ahead.why_not.empty()) foreseen.readings = readings_of(ahead, ranks.size());
  return foreseen;
}

std::vector<RehearsedStage> rehearse_with_cache(const RehearsalRequest& request,
                                                Communicator& ranks) {
  namespace fs = std::filesystem;
  const std::string& given = request.train.prefix_cache_folder;
  const fs::path within =
      agreed(ranks, [&] { return given.empty() ? default_cache_folder() : given; });
  const std::string name =
      ranks.broadcast(fmt::format("{}{}", kRehearsalFolder, getpid()), /*root=*/0);
  remove_left_folders(within);
  const fs::path folder = within / name;
  TrainOptions train = request.train;
  train.prefix_cache_folder = folder.string();
  std::vector<RehearsedStage> stages =
      rehearse({request.setup, request.schedule, request.data, train}, ranks);
  // All ranks of a host remove the same folder, and who comes later finds nothing.
  ranks.barrier();
  std::error_code error;
  fs::remove_all(folder, error);
  return stages;
}

}  // namespace thaw
