#pragma once

#include <string>

namespace thaw {

class Optimizer;
struct TrainerParts;

/// Whether steps of the run can be judged where their numbers are, so that no update waits for the
/// host (Note [When the loss is read]); true on the CPU too, where that is of no use.
bool may_judge_on_device(const TrainerParts& parts, const Optimizer& optimizer);

/// What decides whether a stage's steps may be captured in CUDA graphs (Note [Captured steps]).
struct CaptureFacts {
  // Of the run.
  bool on_gpu = false;
  bool judged_there = false;   ///< no update waits for the host: GuardedStep
  bool shares_state = false;   ///< several ranks update a slice each
  bool model_repeats = false;  ///< Model::repeats_itself
  bool task_repeats = false;   ///< Task::repeats_itself
  bool whole_batches = false;  ///< a rank's share is one forward
  bool recomputes = false;     ///< train.gradient-checkpointing
  // Of the stage.
  bool reads_files = false;       ///< what frozen groups return comes from files
  bool own_draws = false;         ///< attention's dropout draws by LibTorch's generator
  bool host_decides = false;      ///< a trigger or a policy asks for numbers of each step
  bool reduction_repeats = true;  ///< GradientReducer::repeats_itself
};

/// Those of the run.
CaptureFacts capture_facts(const TrainerParts& parts, const Optimizer& optimizer);

/// A run that is to have graphs (train.cuda-graphs = "on") can have some; else throws InputError.
void check_capture(const TrainerParts& parts, const Optimizer& optimizer);

/// Why they may not, for people; "" where they may.
std::string obstacle_to_capture(const CaptureFacts& facts);

}  // namespace thaw
