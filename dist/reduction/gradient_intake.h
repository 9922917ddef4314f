#pragma once

#include <ATen/core/Tensor.h>

#include <cstddef>
#include <functional>
#include <span>
#include <string>

#include "core/parallel/gradient_reducer.h"
#include "core/parallel/stage_coordinator.h"
#include "dist/reduction/bucket_generation.h"
#include "dist/reduction/bucket_map.h"

// What reducers over buckets do alike with gradients until they travel.

namespace thaw {

// Note [One pass into the slab]
// `.grad` is undefined when backward begins, so autograd hands over the gradient tensor it has just
// computed instead of adding to anything. The hook copies that into its slot (for a slot that was
// zeroed and accumulated into, memory would be passed over three times) and points `.grad` at the
// slot, so that the next micro-batch adds in place and the optimizer reads the sum where it lies.
// A GPU has memory to spare for the gradients of one bucket, and waits for every operation that it
// is asked for: there they are copied together when the bucket leaves.

/// Where the gradient of an active parameter belongs, by the parameter's place; undefined for one
/// that travels by rows.
using PlaceOf = std::function<const at::Tensor&(std::size_t parameter)>;

/// Throws RunError where a step's share is none.
void check_share(SampleShare share);

/// Throws the RunError of a parameter that got a gradient after its bucket had left; `remedy` ends
/// the message.
[[noreturn]] void refuse_late_gradient(const std::string& parameter, const std::string& remedy);

/// Backward has passed an active parameter: notes in `progress` whether it has a gradient, and puts
/// that where it belongs, on a GPU when its bucket leaves. Throws RunError for a sparse one.
void take_gradient(std::span<const NamedTensor> active, std::size_t parameter,
                   BucketProgress& progress, const PlaceOf& place_of);

/// A bucket leaves: what stands in `.grad` now is what counts, whoever put it there or took it away
/// since backward did.
void settle_bucket(const Bucket& bucket, std::span<const NamedTensor> active,
                   BucketProgress& progress, const PlaceOf& place_of);

}  // namespace thaw
