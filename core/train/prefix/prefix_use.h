#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "core/record/observer.h"
#include "core/step/prefix/prefix_decision.h"
#include "core/train/prefix/prefix_rules.h"

namespace thaw {

class ParameterTable;
class PrefixFiles;
class PrefixRunner;
class PrefixSource;
class ScheduleRun;
class StepMonitor;
struct TrainerParts;

/// All that the decisions of a stage and of those that follow it depend on, measured, while nothing
/// was made.
struct PrefixForesight {
  /// Nothing will be read, as a sentence's end; "" where that is `decide_prefix`'s to say.
  std::string why_not = {};
  PrefixCosts costs = {};                ///< `demands`: of each of the stages
  std::vector<std::size_t> groups = {};  ///< of each boundary: how many run before it
  double least_samples = 0;              ///< fewer to come are not even looked at
};

/// The cache of frozen groups' outputs over a run (`train.prefix-cache`): decides at the beginning
/// of each stage, by what it measures, whether steps and evaluations read them, and has them made.
///
/// All calls that say so are collectives. One instance, one run; belongs to the training thread.
class PrefixUse {
 public:
  /// Everything is borrowed; the schedule's stages have this model's groups. Throws an agreed
  /// InputError where "on" cannot be kept.
  PrefixUse(const TrainerParts& parts, const ParameterTable& parameters, StepMonitor& monitor);
  ~PrefixUse();

  /// A collective: a stage, or a segment of one, was entered, at `cursor`, and its layers are as it
  /// has them. Tells the observers what came of it. Throws an agreed Error where "on" cannot be
  /// kept.
  void enter_stage(const ScheduleRun& schedule, std::int64_t cursor, const ReportPlace& place);

  /// A collective: what `enter_stage` would look at for the training split, without its making
  /// anything or telling anybody. Leaves what is read as it is.
  PrefixForesight foresee(const ScheduleRun& schedule, std::int64_t cursor);

  /// For steps of the stage; null: the frozen groups are run.
  const PrefixSource* training() const;
  /// For evaluations on the validation split, likewise.
  const PrefixSource* validation() const;

 private:
  /// What is read of one split, with all that it needs.
  struct Reading;
  /// What a split's outputs are wanted for.
  struct Wanted {
    std::string split;
    std::vector<PrefixStage> stages;
    std::vector<double> samples = {};  ///< of each stage, to be drawn of the split
    std::vector<std::int64_t> sizes = {};
    std::string changes = {};         ///< why they change; "" where they do not
    const Reading* beside = nullptr;  ///< of the other split: its files are to stay
  };
  std::vector<PrefixStage> stages_ahead(const ScheduleRun& schedule, std::int64_t cursor) const;
  Wanted of_training(const std::vector<PrefixStage>& stages) const;
  std::unique_ptr<Reading> enter_split(const Wanted& wanted, PrefixCacheReport& report);
  std::unique_ptr<Reading> decide(const Wanted& wanted, PrefixCacheReport& report);
  void enter_and_tell(const Wanted& wanted, const ReportPlace& place,
                      std::unique_ptr<Reading>& reading);
  struct Found;
  void probe(const Wanted& wanted, const PrefixRunner& runner, Found& found) const;
  void look_for_files(const Wanted& wanted, const PrefixRunner& runner, Found& found);
  void check_values(std::size_t b, const PrefixRunner& runner, const Found& found) const;
  void measure(const Wanted& wanted, const PrefixRunner& runner, Found& found) const;
  bool make(const Wanted& wanted, const PrefixDecision& decision, const PrefixRunner& runner,
            Found& found);
  bool on() const;
  bool must_read(const Wanted& wanted) const;

  const TrainerParts& parts_;
  const ParameterTable& parameters_;
  StepMonitor& monitor_;
  std::unique_ptr<PrefixFiles> files_;
  std::unique_ptr<Reading> training_, validation_;
};

}  // namespace thaw
