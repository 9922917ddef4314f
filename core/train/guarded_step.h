#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/Device.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "core/parallel/gradient_reducer.h"
#include "core/schedule/step_values.h"
#include "core/step/finite_guard.h"
#include "core/step/step_agreement.h"

namespace thaw {

class ArrivingNumbers;
class DeviceVerdict;
class Optimizer;
class StageRun;
class StepMeter;
class StepMonitor;
struct Batch;
struct TrainerParts;
struct TrainingBatch;

/// Makes one optimizer step after another, each with its verdict: gradients of a global batch,
/// numbers that all ranks agree on, and the update where these are finite.
///
/// All ranks call it alike and come to the same verdicts. It moves weights, buffers and optimizer
/// state, and nothing else of the run; belongs to the training thread.
class GuardedStep {
 public:
  /// What a step asks of all ranks together; what is not there is not asked for.
  struct Asked {
    const at::Tensor* loss_sum = nullptr;
    const at::Tensor* gradient_norm = nullptr;
    std::optional<StepChoice> choice = {};  ///< what this rank can do
    /// To be finished meanwhile: StepVote::reducer.
    GradientReducer* reducer = nullptr;
  };
  /// Everything is borrowed.
  struct Context {
    const TrainerParts& parts;
    Optimizer& optimizer;
    StepMonitor& monitor;
    /// Agrees with the other ranks on that, and on what holds after this step: once a step.
    std::function<StepVerdict(const Asked& asked)> agree;
  };
  struct Request {
    std::int64_t number = 1;  ///< of the step in the run, from 1
    bool wants_loss = false;  ///< whoever else asks for it
    double last_loss = 0;     ///< what stands for the loss where nobody asks
    bool wants_group_norms = false;
  };
  /// A step whose loss was read after its update (Note [When the loss is read]).
  struct Settled {
    double loss = 0;           ///< mean over the global batch
    double gradient_norm = 0;  ///< 0 where nothing asks for it
  };
  struct Outcome {
    StepVerdictKind verdict = StepVerdictKind::kCommit;  ///< never kStop, which throws
    double loss = 0;                                     ///< mean over the global batch
    double gradient_norm = 0;                            ///< 0 where nothing asks for it
    StepValues values;                                   ///< for the stage's triggers
    /// Before clipping, where they were wanted: StageRun::group_gradient_norms.
    std::vector<std::optional<double>> group_gradient_norms = {};
    bool is_late = false;            ///< loss and norm are yet to be read: `settle`
    std::optional<Settled> settled;  ///< the step before that was late
  };

  explicit GuardedStep(const Context& context);
  ~GuardedStep();

  /// A collective: lets the steps of `stage` be graphs where the run wants that and they may, on
  /// all ranks; else says why not, once a reason. `reads_files`: what frozen groups return comes
  /// from files.
  void enter_stage(StageRun& stage, const StepMeter& meter, bool reads_files);

  /// A collective. Of a step that goes back, nothing but verdict, loss and norm is to be used.
  /// Throws `RunError` on all ranks where the loss or the gradients are not finite and training
  /// must not go on.
  Outcome run(StageRun& stage, StepMeter& meter, const TrainingBatch& batch,
              const Request& request);

  /// Waits for the numbers of the last step, where they are late; nothing where they are not.
  /// Throws as `run` does.
  std::optional<Settled> settle();
  /// A collective, where a step has been judged whose numbers nobody was sent: waits for what the
  /// GPU has found, and throws as `run` does. Before anybody takes the weights for a result.
  void read_verdict();
  /// The same for who must not wait nor throw for it: where they have arrived and are finite.
  std::optional<Settled> arrived();

  /// Steps skipped in a row up to now.
  std::int64_t skipped() const { return guard_.skipped(); }

 private:
  /// What all ranks know of a step's batch.
  struct Share {
    double weight;  ///< that the mean of the loss divides by
    SampleShare samples;
  };
  /// A late step.
  struct Pending {
    std::unique_ptr<ArrivingNumbers> numbers;
    std::int64_t number;
    std::string stage;
    double weight;
  };

  /// `agrees`: what the ranks have to say besides goes with it.
  at::Tensor gradients(StageRun& stage, const Batch& batch, const Share& share,
                       bool agrees = false);
  bool judges_on_device(const StepMeter& meter) const;
  Outcome judge_on_host(StageRun& stage, StepMeter& meter, const Batch& batch, const Share& share,
                        const Request& request);
  Outcome judge_on_device(StageRun& stage, StepMeter& meter, const Batch& batch, const Share& share,
                          const Request& request);
  at::Tensor verdict(StageRun& stage, const at::Tensor& loss_sum);
  void update(StageRun& stage, const at::Tensor& norm);
  std::optional<StepChoice> possible_choice(StageRun& stage, const Batch& batch,
                                            const Share& share) const;
  void run_as_graph(StageRun& stage, StepWay way, const Batch& batch, const Share& share);
  void tell_no_graphs(const std::string& why);
  StepValues measure(StepMeter& meter, const Share& share, double loss) const;

  Context context_;
  FiniteGuard guard_;
  std::optional<at::Device> gpu_;           ///< that can judge; nothing: there is none
  std::unique_ptr<DeviceVerdict> verdict_;  ///< null until the first step that it judges
  std::optional<Pending> pending_;
  /// The last step that was judged, where its numbers were not sent.
  struct Unread {
    std::int64_t number;
    std::string stage;
  };
  std::optional<Unread> unread_;
  std::set<std::string> told_;  ///< why there are no graphs
};

}  // namespace thaw
