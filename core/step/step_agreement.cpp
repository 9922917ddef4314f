#include "core/step/step_agreement.h"

#include <ATen/core/Tensor.h>

#include <algorithm>
#include <numeric>
#include <vector>

#include "core/parallel/communicator.h"

namespace thaw {

StepVerdict agree_on_step(const StepVote& vote, Communicator& communicator) {
  enum Place { kUnready, kSignal, kStopFile, kTimeLimit, kLosses };
  const auto parts = static_cast<std::size_t>(vote.loss_parts);
  std::vector<double> sums(kLosses + parts, 0.0);
  if (vote.loss_sum != nullptr && vote.loss_sum->defined()) {
    const at::Tensor losses = vote.loss_sum->to(at::kCPU, at::kDouble).contiguous();
    std::copy_n(losses.const_data_ptr<double>(), parts, sums.begin() + kLosses);
  }
  sums[kUnready] = vote.ready ? 0 : 1;
  sums[kSignal] = vote.stop == StopReason::kSignal ? 1 : 0;
  sums[kStopFile] = vote.stop == StopReason::kStopFile ? 1 : 0;
  sums[kTimeLimit] = vote.stop == StopReason::kTimeLimit ? 1 : 0;
  communicator.all_reduce(sums);
  StepVerdict verdict;
  // A part that one rank alone has is exact here, whatever the order in which ranks are summed.
  verdict.loss_sum = std::accumulate(sums.begin() + kLosses, sums.end(), 0.0);
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
