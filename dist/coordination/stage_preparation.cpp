#include "dist/coordination/stage_preparation.h"

#include <exception>
#include <utility>

#include "core/base/system.h"
#include "core/parallel/active_set.h"
#include "core/schedule/stage_plan.h"
#include "dist/reduction/bucket_slabs.h"

namespace thaw {

namespace {

SlabMemory touched_memory(const StagePlan& plan, std::span<const NamedTensor> parameters,
                          const BucketOptions& options) {
  lower_priority_of_this_thread();
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
    : plan_(plan.fingerprint()),
      memory_(
          std::async(std::launch::async,
                     [plan, options, copies = std::vector(parameters.begin(), parameters.end())] {
                       return touched_memory(plan, copies, options);
                     })) {}

}  // namespace thaw
