#include "core/step/step_agreement.h"

#include <ATen/core/Tensor.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <c10/core/Event.h>
#include <c10/core/impl/VirtualGuardImpl.h>

#include <algorithm>
#include <numeric>
#include <vector>

#include "core/parallel/communicator.h"
#include "core/parallel/gradient_reducer.h"

namespace thaw {

namespace {

enum Place {
  kUnready,
  kSignal,
  kStopFile,
  kTimeLimit,
  kQueues,
  kRecords,
  kGraph,
  kGraphSquared,
  kNorm,
  kLosses
};

/// `values` on the host. From a GPU through pinned memory: what comes to the host otherwise holds
/// up the stream on its way through the driver's own.
at::Tensor on_host(const at::Tensor& values) {
  if (!values.is_cuda()) return values.cpu();
  const at::Tensor host =
      at::empty(values.sizes(), values.options().device(at::kCPU).pinned_memory(true));
  host.copy_(values, /*non_blocking=*/true);
  c10::Event done(values.device().type());
  done.record(c10::impl::VirtualGuardImpl(values.device().type()).getStream(values.device()));
  done.synchronize();
  return host;
}

StepWay way_of_all(const std::vector<double>& sums, int ranks) {
  if (sums[kQueues] > 0) return StepWay::kQueue;
  if (sums[kRecords] > 0) return StepWay::kRecord;
  // Equal where numbers are, and only there (Cauchy and Schwarz); whole numbers, so exact.
  const bool same = sums[kGraph] * sums[kGraph] == ranks * sums[kGraphSquared];
  return same ? StepWay::kReplay : StepWay::kQueue;
}

/// Writes what this rank says of the loss and the norm to its places in `sums`, in one copy from
/// the device that they are on.
void read_numbers(const StepVote& vote, bool is_first, std::vector<double>& sums) {
  std::vector<at::Tensor> asked;
  const bool has_norm = is_first && vote.gradient_norm != nullptr && vote.gradient_norm->defined();
  const bool has_loss = vote.loss_sum != nullptr && vote.loss_sum->defined();
  if (has_norm) asked.push_back(vote.gradient_norm->to(at::kDouble).view({1}));
  if (has_loss) asked.push_back(vote.loss_sum->to(at::kDouble).flatten());
  if (asked.empty()) return;
  const at::Tensor host = on_host(asked.size() > 1 ? at::cat(asked) : asked[0].contiguous());
  std::copy_n(host.const_data_ptr<double>(), static_cast<std::size_t>(host.numel()),
              sums.begin() + (has_norm ? kNorm : kLosses));
}

}  // namespace

StepVerdict agree_on_step(const StepVote& vote, Communicator& communicator) {
  const auto parts = static_cast<std::size_t>(vote.loss_parts);
  std::vector<double> sums(kLosses + parts, 0.0);
  read_numbers(vote, communicator.rank() == 0, sums);
  sums[kUnready] = vote.ready ? 0 : 1;
  sums[kSignal] = vote.stop == StopReason::kSignal ? 1 : 0;
  sums[kStopFile] = vote.stop == StopReason::kStopFile ? 1 : 0;
  sums[kTimeLimit] = vote.stop == StopReason::kTimeLimit ? 1 : 0;
  sums[kQueues] = vote.choice.way == StepWay::kQueue ? 1 : 0;
  sums[kRecords] = vote.choice.way == StepWay::kRecord ? 1 : 0;
  sums[kGraph] = static_cast<double>(vote.choice.graph);
  sums[kGraphSquared] = sums[kGraph] * sums[kGraph];
  const bool taken = vote.reducer != nullptr && vote.reducer->take_along(sums);
  if (vote.reducer != nullptr) vote.reducer->finish();
  if (!taken) communicator.all_reduce(sums);
  StepVerdict verdict;
  // What one rank alone has is exact here, whatever the order in which ranks are summed.
  verdict.gradient_norm = sums[kNorm];
  verdict.loss_sum = std::accumulate(sums.begin() + kLosses, sums.end(), 0.0);
  verdict.all_ready = sums[kUnready] == 0;
  verdict.way = way_of_all(sums, communicator.size());
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
