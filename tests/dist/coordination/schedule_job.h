#pragma once

#include <string>
#include <utility>
#include <vector>

#include "core/schedule/resolve_schedule.h"
#include "core/tasks/registry.h"
#include "dist/communicator/in_process/in_process.h"
#include "tests/core/train/tiny_model.h"
#include "tests/support/coordinators.h"
#include "tests/support/training.h"

namespace thaw {

/// What one rank saw and came to.
struct JobOutcome {
  Recorder heard;  ///< nothing but on rank 0
  Weights weights;
};

/// A schedule from its TOML, for the tiny model (stem, middle, head) and 37 samples in batches
/// of 12.
inline Schedule tiny_schedule(const std::string& text) {
  return resolve_schedule(parse_partial_configuration("[data]\nbatch = 12\n" + text, "job.toml"),
                          {"stem", "middle", "head"}, 37, /*has_validation=*/true, all_metrics());
}

/// A job of several ranks, threads of this process, in float64.
struct ScheduleJob {
  std::string data;  ///< write_tiny_dataset(folder, 37, 10)
  Schedule schedule;
  TrainOptions train = {};
  std::vector<ParameterGroup> groups = {};  ///< of the user's own; empty: the model's
  std::int64_t audit_every = 1;             ///< so that every step's tensors are known to be equal

  /// The outcome of every rank; what observers hear is on rank 0 alone.
  std::vector<JobOutcome> run(int ranks) const {
    std::vector<JobOutcome> outcomes(static_cast<std::size_t>(ranks));
    run_ranks(ranks, [&](Communicator& communicator) {
      train_on(communicator, outcomes[static_cast<std::size_t>(communicator.rank())]);
    });
    return outcomes;
  }

  void train_on(Communicator& communicator, JobOutcome& outcome) const {
    const Dataset dataset = prepared_dataset(data);
    TinyModel model(0.2);
    model.to(at::kDouble);
    if (!groups.empty()) model.set_freezing_groups(groups);
    const auto coordinator = coordinator_for(communicator);
    Training training{.schedule = schedule, .train = train, .audit_every = audit_every};
    training.data.batch = 12;
    Recorder recorder(&model);
    training.run(model, dataset, recorder, communicator, *coordinator);
    outcome.heard = std::move(recorder);
    outcome.weights = weights_of(model);
  }
};

}  // namespace thaw
