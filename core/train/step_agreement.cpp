#include "core/train/step_agreement.h"

#include <ATen/core/Tensor.h>

#include <array>

#include "core/parallel/communicator.h"

namespace thaw {

StepVerdict agree_on_step(const StepVote& vote, Communicator& communicator) {
  enum Place { kLoss, kUnready, kSignal, kStopFile, kTimeLimit, kCount };
  std::array<double, kCount> sums{};
  if (vote.loss_sum != nullptr && vote.loss_sum->defined()) {
    sums[kLoss] = vote.loss_sum->item().toDouble();
  }
  sums[kUnready] = vote.ready ? 0 : 1;
  sums[kSignal] = vote.stop == StopReason::kSignal ? 1 : 0;
  sums[kStopFile] = vote.stop == StopReason::kStopFile ? 1 : 0;
  sums[kTimeLimit] = vote.stop == StopReason::kTimeLimit ? 1 : 0;
  communicator.sum(sums);
  StepVerdict verdict;
  verdict.loss_sum = sums[kLoss];
  verdict.all_ready = sums[kUnready] == 0;
  verdict.stop = sums[kSignal] > 0      ? StopReason::kSignal
                 : sums[kStopFile] > 0  ? StopReason::kStopFile
                 : sums[kTimeLimit] > 0 ? StopReason::kTimeLimit
                                        : StopReason::kNone;
  return verdict;
}

const char* text_of(StopReason reason) {
  switch (reason) {
    case StopReason::kNone:
      return "nobody asked for it";
    case StopReason::kSignal:
      return "a signal asked for it";
    case StopReason::kStopFile:
      return "the file \"stop\" in the run folder asked for it";
    case StopReason::kTimeLimit:
      return "its time is nearly over";
  }
  return "";
}

}  // namespace thaw
