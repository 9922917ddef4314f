#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "core/parallel/stage_coordinator.h"
#include "dist/reduction/bucket_map.h"

namespace thaw {

/// What is wrong with a step that launched `launched` (bucket numbers, in order), naming the first
/// parameter that was in no launched bucket or in several; empty where every active parameter was
/// in exactly one. Pure.
std::string coverage_fault(const BucketMap& map, std::span<const std::size_t> launched,
                           std::span<const NamedParameter> active);

}  // namespace thaw
