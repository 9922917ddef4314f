#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "core/parallel/communicator.h"
#include "core/parallel/stage_coordinator.h"
#include "dist/reduction/bucket_map.h"

namespace thaw {

/// What is wrong with a step that launched `launched` (bucket numbers, in order), naming the first
/// parameter that was in no launched bucket or in several; empty where every active parameter was
/// in exactly one. Pure.
std::string coverage_fault(const BucketMap& map, std::span<const std::size_t> launched,
                           std::span<const NamedTensor> active);

/// Throws an agreed RunError, naming the first of `active` that got no gradient on one of `parts`
/// ("ranks", "shards") that had samples; returns where there is none. `flags`: on how many parts
/// each parameter got one, in the order of `active`; last: how many had samples. Equal on all
/// ranks.
void refuse_unused(std::span<const double> flags, std::span<const NamedTensor> active,
                   const std::string& parts);

/// A collective: the sum of `flags` over the ranks, whole; `along` (may be empty) is summed in the
/// same call and becomes its sum. One sum over the host is then all that a step takes.
std::vector<double> sum_flags(std::vector<double> flags, std::span<double> along,
                              Communicator& communicator);

/// A collective: returns where no rank has a fault ("" is none), else throws the same
/// ReductionMismatch on all ranks, which says what is wrong and where.
void agree_on_fault(Communicator& communicator, const std::string& local_fault);

}  // namespace thaw
