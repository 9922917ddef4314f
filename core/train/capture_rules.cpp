#include "core/train/capture_rules.h"

#include <fmt/format.h>

#include "core/base/error.h"
#include "core/config/configuration.h"
#include "core/models/model.h"
#include "core/parallel/communicator.h"
#include "core/step/gradient_pass.h"
#include "core/step/optimizer.h"
#include "core/tasks/task.h"
#include "core/train/reduction_rules.h"
#include "core/train/trainer.h"

namespace thaw {

bool may_judge_on_device(const TrainerParts& parts, const Optimizer& optimizer) {
  return optimizer.guards_on_device() && parts.train.not_finite == NotFinite::kStop &&
         parts.train.precision != Precision::kFloat64 && canonical_shards(parts.train) == 0;
}

CaptureFacts capture_facts(const TrainerParts& parts, const Optimizer& optimizer) {
  return {.on_gpu = gpu_of(parts.model).has_value(),
          .judged_there = may_judge_on_device(parts, optimizer),
          .shares_state = state_is_sharded(parts),
          .model_repeats = parts.model.repeats_itself(),
          .task_repeats = parts.task->repeats_itself(),
          .whole_batches = parts.train.micro_batch == 0 && parts.train.micro_batch_tokens == 0,
          .recomputes = parts.train.gradient_checkpointing};
}

void check_capture(const TrainerParts& parts, const Optimizer& optimizer) {
  if (parts.train.cuda_graphs != CudaGraphs::kOn) return;
  const std::string obstacle = obstacle_to_capture(capture_facts(parts, optimizer));
  if (obstacle.empty()) return;
  throw InputError(fmt::format(
      "train.cuda-graphs is on, but no step of this run can be captured: {}; set it to auto or off",
      obstacle));
}

std::string obstacle_to_capture(const CaptureFacts& facts) {
  if (!facts.on_gpu) return "it computes on the CPU";
  if (!facts.judged_there) {
    return "the host decides on each update (train.not-finite, float64, or this optimizer)";
  }
  if (!facts.model_repeats) return "the model may compute on the host what its kernels are given";
  if (!facts.task_repeats) return "the loss may depend on what the host knows of a batch";
  if (!facts.whole_batches) return "batches are cut into micro-batches";
  if (facts.shares_state) {
    return "ranks share state out (distributed.sharding), and send what they have updated beside "
           "the next step";
  }
  if (facts.recomputes) return "layers are computed again in backward";
  if (facts.reads_files) return "outputs of the frozen layers are read from files";
  if (facts.own_draws) return "attention's dropout is drawn by LibTorch's generator";
  if (facts.host_decides)
    return "a trigger or a policy asks for the loss or gradients of each step";
  if (!facts.reduction_repeats) return "gradients are summed by way of the host";
  return "";
}

}  // namespace thaw
