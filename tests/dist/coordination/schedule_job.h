#pragma once

#include <ATen/core/Tensor.h>
#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "core/data/dataset.h"
#include "core/parallel/one_rank.h"
#include "core/parallel/stage_coordinator.h"
#include "core/schedule/resolve_schedule.h"
#include "core/tasks/registry.h"
#include "core/train/trainer.h"
#include "dist/communicator/in_process/in_process.h"
#include "dist/coordination/unfreezing_coordinator.h"
#include "tests/core/train/tiny_model.h"

namespace thaw {

using Weights = std::map<std::string, at::Tensor>;

inline Weights weights_of(const Model& model) {
  Weights copies;
  for (const auto& parameter : model.named_parameters()) {
    copies[parameter.key()] = parameter.value().detach().clone();
  }
  return copies;
}

/// What one rank saw and came to.
struct JobOutcome {
  std::vector<TransitionReport> transitions;
  std::vector<StepReport> steps;
  std::vector<EvaluationReport> evaluations;
  std::vector<Weights> at_transitions;
  Weights weights;
};

class JobRecorder : public TrainingObserver {
 public:
  JobRecorder(const Model& model, JobOutcome& outcome) : model_(model), outcome_(outcome) {}
  void transition(const TransitionReport& report) override {
    outcome_.transitions.push_back(report);
    outcome_.at_transitions.push_back(weights_of(model_));
  }
  void step(const StepReport& report) override { outcome_.steps.push_back(report); }
  void evaluation(const EvaluationReport& report) override {
    outcome_.evaluations.push_back(report);
  }

 private:
  const Model& model_;
  JobOutcome& outcome_;
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
    Dataset dataset({data});
    dataset.split("train").prepare({});
    dataset.split("validation").prepare({});
    TinyModel model(0.2);
    model.to(at::kDouble);
    if (!groups.empty()) model.set_freezing_groups(groups);
    const std::unique_ptr<StageCoordinator> coordinator =
        communicator.size() == 1 ? make_local_coordinator()
                                 : make_unfreezing_coordinator(communicator, {});
    JobRecorder recorder(model, outcome);
    DataOptions options;
    options.batch = 12;
    Trainer trainer({.model = model,
                     .dataset = dataset,
                     .schedule = schedule,
                     .data = options,
                     .train = train,
                     .communicator = communicator,
                     .coordinator = *coordinator,
                     .observers = {&recorder},
                     .audit_every = audit_every});
    trainer.run();
    outcome.weights = weights_of(model);
  }
};

}  // namespace thaw
