#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace thaw {

struct RunAccount;

/// Something in which two runs differ. Values are texts, numbers, or null where a run has none.
struct ValueDifference {
  std::string what;  ///< "data.batch", "stage 2 (upper): steps"
  nlohmann::ordered_json first, second;
};

/// What two runs differ in, by its kind. Lists are empty where they are the same.
struct RunDifferences {
  std::vector<ValueDifference> configuration;  ///< options of the resolved configurations
  std::vector<ValueDifference> inputs;         ///< data, network, weights and program, as facts
  std::vector<ValueDifference> schedule;       ///< stages as they happened
  std::vector<ValueDifference> metrics;        ///< numbers
  std::vector<ValueDifference> speed;          ///< numbers
};

/// Compares two runs, whatever their state; the schedule by what happened, stage by stage in order.
/// Reads what the folders keep of their inputs besides. Throws InputError for files that are none
/// of a run.
RunDifferences differences_between(const RunAccount& first, const RunAccount& second);

/// For people, in tables of at most 80 columns; `first` and `second` name the runs.
std::string differences_text(const RunDifferences& differences, const std::string& first,
                             const std::string& second);

/// For programs: a list of {what, first, second} for each kind.
nlohmann::ordered_json differences_json(const RunDifferences& differences, const std::string& first,
                                        const std::string& second);

}  // namespace thaw
