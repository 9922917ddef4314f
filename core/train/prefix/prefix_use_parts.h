#pragma once

// What PrefixUse is inside, for its own sources.

#include <exception>
#include <memory>
#include <numeric>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/step/prefix/cached_prefix.h"
#include "core/step/prefix/prefix_decision.h"
#include "core/step/prefix/prefix_probe.h"
#include "core/step/prefix/prefix_runner.h"
#include "core/train/prefix/prefix_files.h"
#include "core/train/prefix/prefix_use.h"

namespace thaw {

/// The split that training reads.
inline constexpr const char* kPrefixTraining = "train";

/// Below these nothing is even measured, so that short runs cost what they did: passes over the
/// split, and steps.
inline constexpr double kFewestPrefixPasses = 1.5;
inline constexpr double kFewestPrefixSteps = 100;

/// Why nothing is read, as a sentence's end.
class PrefixNotUsed : public std::exception {
 public:
  explicit PrefixNotUsed(std::string why) : why_(std::move(why)) {}
  const char* what() const noexcept override { return why_.c_str(); }

 private:
  std::string why_;
};

/// In all stages.
inline double samples_drawn(const std::vector<double>& samples) {
  return std::accumulate(samples.begin(), samples.end(), 0.0);
}

struct PrefixUse::Reading {
  Reading(Model& model, const Dataset& dataset, const std::string& split)
      : runner(model, dataset, split) {}
  PrefixRunner runner;
  std::unique_ptr<CachedPrefix> cached;
  std::vector<std::string> kept = {};  ///< paths of all files that this stage or later ones read
  std::int64_t bytes = 0;              ///< of these
};

/// What frozen groups of one split come to; equal on all ranks, but for what is opened.
struct PrefixUse::Found {
  std::vector<std::size_t> boundaries;  ///< ascending
  PrefixProbe probe;
  std::string folder;
  std::vector<ActivationFile> files;  ///< of each boundary
  std::vector<std::optional<ActivationFile::Opened>> opened;
  std::int64_t limit = 0;  ///< bytes of all files in the folder
  PrefixCosts costs;       ///< `limit`: without what the other split's files take
};

}  // namespace thaw
