#include "core/train/prefix/prefix_use.h"

#include <ATen/core/Tensor.h>
#include <ATen/ops/equal.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <optional>
#include <utility>

#include "core/base/error.h"
#include "core/base/stopwatch.h"
#include "core/base/system.h"
#include "core/config/configuration.h"
#include "core/data/activations/activation_folder.h"
#include "core/data/cache/cache_file.h"
#include "core/data/dataset.h"
#include "core/models/model.h"
#include "core/parallel/agreement.h"
#include "core/parallel/communicator.h"
#include "core/parallel/step_monitor.h"
#include "core/schedule/schedule_run.h"
#include "core/step/parameter_table.h"
#include "core/step/prefix/cached_prefix.h"
#include "core/step/prefix/prefix_decision.h"
#include "core/step/prefix/prefix_probe.h"
#include "core/step/prefix/prefix_runner.h"
#include "core/train/boundary_measurements.h"
#include "core/train/prefix/prefix_files.h"
#include "core/train/prefix/prefix_key.h"
#include "core/train/prefix/prefix_use_parts.h"
#include "core/train/reduction_rules.h"
#include "core/train/trainer.h"

namespace thaw {
namespace {

constexpr const char* kTraining = kPrefixTraining;
constexpr const char* kValidation = "validation";

/// Beyond this, over the largest value, it is no rounding: something below depends on the batch.
double rounding_of(Precision precision) {
  switch (precision) {
    case Precision::kFloat64:
      return 1e-11;
    case Precision::kFloat32:
      return 1e-3;
    case Precision::kBFloat16:
      return 0.1;
  }
  return 0;
}

std::string seconds_text(double seconds) {
  if (seconds < 1e-3) return fmt::format("{:.1f} us", 1e6 * seconds);
  if (seconds < 1) return fmt::format("{:.3g} ms", 1e3 * seconds);
  return fmt::format("{:.3g} s", seconds);
}

/// Each rank's problem in words, the first that is none of ""; and whether all have the same bits.
void agree_on_probe(PrefixProbe& probe, Communicator& communicator) {
  const std::vector<std::string> problems = communicator.all_gather(probe.problem);
  for (const std::string& problem : problems) {
    if (!problem.empty()) throw PrefixNotUsed(problem);
  }
  const std::vector<std::string> differences =
      communicator.all_gather(fmt::format("{} {}", probe.same_bits ? 1 : 0, probe.difference));
  for (const std::string& each : differences) {
    probe.same_bits = probe.same_bits && each.starts_with("1");
    probe.difference = std::max(probe.difference, std::strtod(each.c_str() + 2, nullptr));
  }
}

/// Of a micro-batch, at most; 0: a rank's whole share.
std::int64_t samples_of_a_forward(const TrainerParts& parts) {
  const std::int64_t tokens = parts.train.micro_batch_tokens;
  if (tokens == 0) return parts.train.micro_batch;
  // So many of any length fit.
  const std::int64_t longest = parts.dataset.split(kTraining).longest();
  return std::max<std::int64_t>(1, tokens / std::max<std::int64_t>(1, longest));
}

/// Batches are cut into so many pieces, each of which is run alone.
std::int64_t pieces_of(const TrainerParts& parts) {
  const std::int64_t shards = canonical_shards(parts.train);
  return shards > 0 ? shards : parts.communicator.size();
}

bool is_text(const TrainerParts& parts) { return parts.dataset.format().kind == DataKind::kText; }

}  // namespace

PrefixUse::PrefixUse(const TrainerParts& parts, const ParameterTable& parameters,
                     StepMonitor& monitor)
    : parts_(parts), parameters_(parameters), monitor_(monitor) {
  check_prefix_cache(parts.train, parts.data, parts.model, parameters, parts.schedule);
}

PrefixUse::~PrefixUse() = default;

bool PrefixUse::on() const { return parts_.train.prefix_cache == PrefixCacheUse::kOn; }

/// Evaluations may go without, whatever is asked of training.
bool PrefixUse::must_read(const Wanted& wanted) const { return on() && wanted.split == kTraining; }

const PrefixSource* PrefixUse::training() const {
  return training_ ? training_->cached.get() : nullptr;
}

const PrefixSource* PrefixUse::validation() const {
  return validation_ ? validation_->cached.get() : nullptr;
}

std::vector<PrefixStage> PrefixUse::stages_ahead(const ScheduleRun& schedule,
                                                 std::int64_t cursor) const {
  return prefix_stages(parts_.schedule, schedule, cursor, parts_.dataset.split(kTraining).size(),
                       parts_.train, parts_.data, parts_.model, parameters_);
}

PrefixUse::Wanted PrefixUse::of_training(const std::vector<PrefixStage>& stages) const {
  Wanted training{.split = kTraining,
                  .stages = stages,
                  .sizes = forward_sizes({.samples = parts_.dataset.split(kTraining).size(),
                                          .batch = parts_.data.batch,
                                          .pieces = pieces_of(parts_),
                                          .micro_batch = samples_of_a_forward(parts_),
                                          .text = is_text(parts_)}),
                  .changes = changing_samples(parts_.data)};
  for (const PrefixStage& stage : stages) training.samples.push_back(stage.samples);
  return training;
}

void PrefixUse::enter_stage(const ScheduleRun& schedule, std::int64_t cursor,
                            const ReportPlace& place) {
  training_.reset();
  validation_.reset();
  if (parts_.train.prefix_cache == PrefixCacheUse::kOff) return;
  const std::vector<PrefixStage> stages = stages_ahead(schedule, cursor);
  if (stages.empty()) return;

  const Wanted training = of_training(stages);
  if (!on() && samples_drawn(training.samples) <
                   kFewestPrefixSteps * static_cast<double>(parts_.data.batch)) {
    return;
  }
  enter_and_tell(training, place, training_);

  if (!parts_.dataset.has_split(kValidation)) return;
  const std::int64_t evaluated = parts_.dataset.split(kValidation).size();
  Wanted validation{
      .split = kValidation,
      .stages = stages,
      .sizes = forward_sizes({.samples = evaluated,
                              .batch = evaluation_settings(parts_.data, parts_.train).batch,
                              .pieces = pieces_of(parts_),
                              .text = is_text(parts_)}),
      .beside = training_.get()};
  for (const PrefixStage& stage : stages) {
    validation.samples.push_back(stage.evaluations * static_cast<double>(evaluated));
  }
  enter_and_tell(validation, place, validation_);
}

void PrefixUse::enter_and_tell(const Wanted& wanted, const ReportPlace& place,
                               std::unique_ptr<Reading>& reading) {
  const auto size = static_cast<double>(parts_.dataset.split(wanted.split).size());
  const double drawn = samples_drawn(wanted.samples);
  // "on" reads for whatever is left, so that a resumed run reads what the whole one did.
  if (!on() && drawn < kFewestPrefixPasses * size) return;
  const Stopwatch watch;
  auto report = report_at<PrefixCacheReport>(place);
  report.split = wanted.split;
  try {
    reading = enter_split(wanted, report);
    report.used = true;
  } catch (const PrefixNotUsed& why) {
    if (must_read(wanted)) {
      RunError error(
          fmt::format("train.prefix-cache: is \"on\", but {}; leave it at \"auto\"", why.what()));
      error.mark_agreed();
      throw error;
    }
    report.text = fmt::format("not used: {}", why.what());
  }
  report.seconds = watch.seconds();
  tell(parts_.observers, &TrainingObserver::prefix_cache, report);
}

std::unique_ptr<PrefixUse::Reading> PrefixUse::enter_split(const Wanted& wanted,
                                                           PrefixCacheReport& report) {
  if (!wanted.changes.empty()) throw PrefixNotUsed(wanted.changes);
  monitor_.phase(RankPhase::kTransition);
  try {
    return decide(wanted, report);
  } catch (const Error& error) {
    // A full disk, a folder that is none: training goes on without, unless it is not to.
    if (must_read(wanted) || !error.agreed()) throw;
    throw PrefixNotUsed(error.what());
  }
}

/// Of the boundaries that `wanted` has, whether their outputs can be kept and have the same bits.
void PrefixUse::probe(const Wanted& wanted, const PrefixRunner& runner, Found& found) const {
  for (const PrefixStage& stage : wanted.stages) found.boundaries.push_back(stage.boundary);
  std::sort(found.boundaries.begin(), found.boundaries.end());
  found.boundaries.erase(std::unique(found.boundaries.begin(), found.boundaries.end()),
                         found.boundaries.end());
  found.probe = agreed(parts_.communicator,
                       [&] { return probe_prefix(runner, found.boundaries, wanted.sizes); });
  agree_on_probe(found.probe, parts_.communicator);
  if (found.probe.same_bits) return;
  if (found.probe.difference > rounding_of(parts_.train.precision)) {
    throw PrefixNotUsed("what frozen groups return depends on the other samples of a batch");
  }
  if (!on()) {
    throw PrefixNotUsed(fmt::format(
        "in {} on this processor what frozen groups return has other last bits in another batch "
        "(differences of {:.0e}); train.prefix-cache = \"on\" takes them as equal",
        name_of(parts_.train.precision), found.probe.difference));
  }
}

/// The files that there are, and what they hold.
void PrefixUse::look_for_files(const Wanted& wanted, const PrefixRunner& runner, Found& found) {
  Communicator& ranks = parts_.communicator;
  found.folder = agreed(ranks, [&] {
    const std::string& given = parts_.train.prefix_cache_folder;
    return given.empty() ? default_cache_folder() : given;
  });
  const Split& split = runner.split();
  const std::vector<std::string> keys = prefix_keys(parts_, split, found.boundaries);
  for (std::size_t b = 0; b < found.boundaries.size(); ++b) {
    const std::size_t boundary = found.boundaries[b];
    const ActivationLayout& layout = found.probe.layouts[b];
    const std::string& last = parts_.model.groups()[boundary - 1].name;
    found.files.emplace_back(
        found.folder,
        ActivationSpec{.name = fmt::format("{}.{}", wanted.split, last),
                       .key = keys[b],
                       .layout = layout,
                       .offsets = row_offsets(layout, split.size(), split.offsets())});
    found.opened.push_back(files_->open(found.files[b]));
    if (found.opened[b]) check_values(b, runner, found);
  }
}

/// Whoever has made it, another run or another rank: it is to hold what this process computes.
void PrefixUse::check_values(std::size_t b, const PrefixRunner& runner, const Found& found) const {
  std::vector<std::int64_t> first(static_cast<std::size_t>(runner.blocks()[1]));
  std::iota(first.begin(), first.end(), 0);
  const bool same = agreed(parts_.communicator, [&] {
    const CachedPrefix there(found.boundaries[b], found.files[b].spec(), *found.opened[b], runner);
    return at::equal(there.read(first), found.probe.first_block[b]);
  });
  const std::vector<std::string> all = parts_.communicator.all_gather(same ? "1" : "0");
  if (std::find(all.begin(), all.end(), "0") != all.end()) {
    throw PrefixNotUsed(fmt::format("{} holds other values than this process computes; delete it",
                                    found.files[b].path()));
  }
}

/// What everything costs, by rank 0's figures.
void PrefixUse::measure(const Wanted& wanted, const PrefixRunner& runner, Found& found) const {
  constexpr double kGiB = 1 << 30;
  // What is there, and is to be read whatever it spares, needs no clock.
  const bool untimed = on() && std::all_of(found.opened.begin(), found.opened.end(),
                                           [](const auto& opened) { return opened.has_value(); });
  std::vector<double> figures = agreed(parts_.communicator, [&] {
    const auto given = static_cast<std::int64_t>(parts_.train.prefix_cache_gib * kGiB);
    const ActivationRoom room = activation_room(found.folder, given);
    const FolderSpeed speed = untimed ? FolderSpeed{} : measure_folder(found.folder);
    std::vector<double> all = {static_cast<double>(room.limit), speed.write, speed.read,
                               static_cast<double>(available_memory())};
    const std::vector<double> seconds = untimed ? std::vector<double>(found.boundaries.size())
                                                : prefix_seconds(runner, found.boundaries);
    all.insert(all.end(), seconds.begin(), seconds.end());
    return all;
  });
  broadcast_numbers(parts_.communicator, figures);
  PrefixCosts& costs = found.costs;
  costs.always = on();
  costs.samples = static_cast<double>(runner.split().size());
  double bytes = 0;
  for (std::size_t b = 0; b < found.boundaries.size(); ++b) {
    costs.boundaries.push_back({.seconds = figures[4 + b],
                                .bytes = found.files[b].spec().value_bytes(),
                                .filled = found.opened[b].has_value()});
    bytes += static_cast<double>(costs.boundaries[b].bytes);
  }
  found.limit = static_cast<std::int64_t>(figures[0]);
  const std::int64_t beside = wanted.beside != nullptr ? wanted.beside->bytes : 0;
  costs.limit = std::max<std::int64_t>(0, found.limit - beside);
  costs.write_seconds = figures[1];
  // What memory does not hold comes from the disk.
  costs.read_seconds = bytes < figures[3] / 2 ? figures[2] : figures[1];
  for (std::size_t s = 0; s < wanted.stages.size(); ++s) {
    const auto place =
        std::find(found.boundaries.begin(), found.boundaries.end(), wanted.stages[s].boundary);
    costs.demands.push_back(
        {static_cast<std::size_t>(place - found.boundaries.begin()), wanted.samples[s]});
  }
}

/// Has the files made that are to be kept and are not there.
bool PrefixUse::make(const Wanted& wanted, const PrefixDecision& decision,
                     const PrefixRunner& runner, Found& found) {
  PrefixFiles::Making making{.folder = found.folder, .limit = found.limit};
  if (wanted.beside != nullptr) making.needed = wanted.beside->kept;
  for (const std::size_t b : decision.kept) {
    if (found.opened[b]) {
      making.needed.push_back(found.files[b].path());
      continue;
    }
    making.files.push_back(&found.files[b]);
    making.boundaries.push_back(found.boundaries[b]);
  }
  if (making.files.empty()) return false;
  files_->make(making, runner);
  return true;
}

std::unique_ptr<PrefixUse::Reading> PrefixUse::decide(const Wanted& wanted,
                                                      PrefixCacheReport& report) {
  if (!files_) files_ = std::make_unique<PrefixFiles>(parts_.communicator, monitor_);
  auto reading = agreed(parts_.communicator, [&] {
    return std::make_unique<Reading>(parts_.model, parts_.dataset, wanted.split);
  });
  const PrefixRunner& runner = reading->runner;
  Found found;
  probe(wanted, runner, found);
  look_for_files(wanted, runner, found);
  measure(wanted, runner, found);

  const PrefixDecision decision = decide_prefix(found.costs);
  const std::vector<ParameterGroup>& groups = parts_.model.groups();
  if (decision.kept.empty() && found.costs.boundaries.front().bytes > found.costs.limit) {
    throw PrefixNotUsed(
        fmt::format("the outputs of {} take {}, and {} has room for {}{} (train.prefix-cache-gib, "
                    "train.prefix-cache-folder)",
                    groups[found.boundaries.front() - 1].name,
                    memory_text(found.costs.boundaries.front().bytes), found.folder,
                    memory_text(found.costs.limit),
                    found.costs.limit < found.limit ? " beside what training reads" : ""));
  }
  const std::string numbers = fmt::format(
      "frozen groups take {} a sample, {:.0f} samples to come: {} without, {} with",
      seconds_text(found.costs.boundaries.back().seconds), samples_drawn(wanted.samples),
      seconds_text(decision.seconds_without), seconds_text(decision.seconds_with));
  if (!decision.use) throw PrefixNotUsed("it would not pay: " + numbers);

  report.made = make(wanted, decision, runner, found);
  for (const std::size_t b : decision.kept) {
    reading->kept.push_back(found.files[b].path());
    reading->bytes += found.files[b].file_bytes();
  }
  const std::size_t best = decision.kept.back();
  const ActivationFile& file = found.files[best];
  if (!found.opened[best]) {
    found.opened[best] = files_->open(file);
    if (!found.opened[best])
      throw PrefixNotUsed(file.path() + " was removed as soon as it was made");
    check_values(best, runner, found);
  }
  const std::size_t boundary = found.boundaries[best];
  reading->cached =
      std::make_unique<CachedPrefix>(boundary, file.spec(), *found.opened[best], runner);
  report.same_bits = found.probe.same_bits;
  report.boundary = boundary < groups.size() ? groups[boundary].name : "";
  report.bytes = file.spec().value_bytes();
  report.text = fmt::format(
      "{} the outputs of {} ({}, {}); {}{}", report.made ? "made and reads" : "reads",
      groups[boundary - 1].name, file.spec().layout.describe(), memory_text(report.bytes), numbers,
      report.same_bits ? ""
                       : fmt::format("; equal to rounding, not to the bit (differences of {:.0e})",
                                     found.probe.difference));
  return reading;
}

}  // namespace thaw
