#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace thaw {

class Communicator;
class ParameterTable;
struct PrefixForesight;
struct RehearsalRequest;
struct RehearsedStage;
struct RunSetup;
struct Schedule;
struct StageSpan;

/// What the cache of frozen groups' outputs will do in a stage.
struct StageReading {
  std::optional<std::size_t> groups = {};  ///< how many of the first are read in place of being run
  std::int64_t bytes = 0;                  ///< of the outputs that are read
  double making_seconds = 0;               ///< before the stage: of what is not there yet
  double sample_seconds = 0;               ///< of a rank: what running these groups takes
  double seconds_without = 0;  ///< from this stage on, of forwards up to what is frozen,
  double seconds_with = 0;     ///< a rank's, by the decision's own figures
  std::string why_not = {};    ///< as the end of a sentence; "" where it is read
};

/// Decides for each of the stages that `ahead` foresees, one after another as a run of `ranks`
/// ranks would: what one has made is there for the next. Pure.
std::vector<StageReading> readings_of(const PrefixForesight& ahead, std::int64_t ranks);

/// The same of a run, by measuring; nothing is made. A collective. Freezes as the first stage does.
struct ForeseenReadings {
  std::vector<StageReading> readings = {};  ///< of the first stages; the others read nothing
  std::string why_not = {};                 ///< of those, and of all where there are none
  double least_samples = 0;                 ///< to be drawn yet, else a stage does not even look
  double looking_seconds = 0;               ///< of the first stage, at the training split
  double looking_bytes = 0;                 ///< the most memory, in all, meanwhile
};
ForeseenReadings foresee_readings(const RunSetup& setup, const Schedule& schedule,
                                  const ParameterTable& parameters, Communicator& ranks);

/// What looking whether a cache pays depends on.
struct LookingQuestion {
  const std::vector<std::size_t>& cuts;  ///< of each stage: how many groups are frozen before it
  const std::vector<StageSpan>& spans;
  double batch = 1;               ///< global
  bool evaluates = true;          ///< there is a validation split
  const ForeseenReadings& ahead;  ///< what the first stage came to
};

/// What each stage takes to find out whether a cache pays, which a run does at its beginning while
/// enough is to come: it runs what is frozen on a few batches, of training and of evaluations. By
/// what the first stage, which has the most frozen, took. Pure.
std::vector<double> looking_seconds(const LookingQuestion& question);

/// Rehearses stages that read a cache, which is made for the few samples of the rehearsal in a
/// folder of its own and removed, and so are folders that somebody who was killed left there.
/// A collective, as `rehearse`.
std::vector<RehearsedStage> rehearse_with_cache(const RehearsalRequest& request,
                                                Communicator& ranks);

}  // namespace thaw
