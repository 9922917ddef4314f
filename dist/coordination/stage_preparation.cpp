#include "dist/coordination/stage_preparation.h"

#include <c10/core/StreamGuard.h>

#include <exception>
#include <optional>
#include <utility>

#include "core/base/system.h"
#include "core/parallel/active_set.h"
#include "core/parallel/training_stream.h"
#include "core/schedule/stage_plan.h"
#include "dist/reduction/bucket_slabs.h"

namespace thaw {

namespace {

SlabMemory touched_memory(const StagePlan& plan, std::span<const NamedTensor> parameters,
                          const BucketOptions& options, const std::optional<c10::Stream>& stream) {
  lower_priority_of_this_thread();
  const c10::OptionalStreamGuard guard(stream);
  SlabMemory memory;
  try {
    const ParameterSplit split = split_by_plan(plan, parameters);
    const std::vector<NamedTensor> active = without_ties(split.active, split.frozen);
    std::vector<BucketEntry> entries;
    for (const NamedTensor& parameter : active) entries.push_back(describe_entry(parameter));
    const BucketMap map = plan_buckets(entries, options);
    const BucketSlabs slabs(map, active, memory);
    memory.touch();
  } catch (const std::exception&) {
    return {};
  }
  return memory;
}

}  // namespace

StagePreparation::StagePreparation(const StagePlan& plan, std::span<const NamedTensor> parameters,
                                   const BucketOptions& options)
    : plan_(plan.fingerprint()) {
  std::vector<NamedTensor> copies(parameters.begin(), parameters.end());
  std::vector<at::Tensor> tensors;
  for (const NamedTensor& each : copies) tensors.push_back(each.tensor);
  memory_ = std::async(std::launch::async,
                       [plan, options, stream = stream_of(tensors), copies = std::move(copies)] {
                         return touched_memory(plan, copies, options, stream);
                       });
}

}  // namespace thaw
