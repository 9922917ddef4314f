#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "launch/price/step_fit.h"

namespace thaw {

class Communicator;
struct Network;
struct RunSetup;
struct Schedule;

/// What a stage will cost.
struct StagePrice {
  std::string name;
  std::int64_t steps = 0;  ///< at most, where something may end it earlier; 0: nobody knows
  bool may_be_fewer = false;
  StepPrice step;            ///< a typical one, of the mean over its batches
  double steps_seconds = 0;  ///< of all steps: the first take longer, and now and then another one
  double transition_seconds = 0;
  double cache_seconds = 0;  ///< in which the cache of frozen groups' outputs is made
  double evaluation_seconds = 0;
  std::int64_t evaluations = 0;
  double saving_seconds = 0;  ///< of the best weights, were each evaluation better, and checkpoints
  std::int64_t bytes = 0;     ///< of gradients, as summary.json's bytes_reduced_per_step
  bool bytes_are_exact = true;
  std::int64_t memory_bytes = 0;  ///< of the fullest rank at its peak, at most
  bool interpolated = false;      ///< by its neighbours: there was no time to run it
  std::string cache;              ///< what the cache does, as a sentence; "" where it is off

  /// Of all steps and what stands between them; 0 where the length is not known.
  double seconds() const;
};

/// What a run will cost, before it.
struct Price {
  std::int64_t ranks = 1;
  int threads = 1;                  ///< of a rank
  std::string network = {};         ///< "" for this machine, where it was run; else its name
  std::int64_t network_memory = 0;  ///< bytes that a rank of it may fill; 0: not said
  std::vector<StagePrice> stages = {};
  double probe_seconds = 0;
  std::int64_t batch = 0;           ///< configured
  std::int64_t probed_samples = 0;  ///< of a step that was run, all ranks together

  double seconds() const;
  std::int64_t steps() const;
  std::int64_t memory_bytes() const;  ///< of the fullest stage
  /// Whether a rank of the network has room for the stage; true where its memory is not said.
  bool fits(const StagePrice& stage) const {
    return network_memory <= 0 || stage.memory_bytes <= network_memory;
  }
};

/// By a rehearsal on the ranks that there are. A collective, the first that runs the network and
/// the last thing that is done with `setup`: its data are narrowed to a few batches. Rank 0 gets
/// the price, the others nothing.
std::optional<Price> price_here(const RunSetup& setup, const Schedule& schedule,
                                Communicator& ranks);

/// Of `ranks` ranks on a machine that is described: this process measures what one of them
/// computes, and the planner of buckets and a model of the network do the rest (dist/forecast).
/// Throws InputError for more ranks than training would start with.
Price price_elsewhere(const RunSetup& setup, const Schedule& schedule, std::int64_t ranks,
                      const Network& network);

}  // namespace thaw
