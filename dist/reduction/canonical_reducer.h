#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "core/parallel/communicator.h"
#include "core/parallel/gradient_reducer.h"
#include "core/parallel/stage_coordinator.h"
#include "dist/reduction/bucket_reducer.h"
#include "dist/reduction/bucket_slabs.h"

namespace thaw {

/// A collective: the reducer of `train.reduction = "canonical"`. It sums the gradients of
/// `options.shards` shards of each global batch along one binary tree over them
/// (core/parallel/sum_tree.h): the sum has the same bits at any number of ranks, if what backward
/// makes of each shard has.
///
/// Between `begin` and `finish` a rank runs its shards (`shards_of_rank`) in their order, at most
/// one backward each, and calls `finish_shard` after each; of a batch of fewer samples than shards,
/// shard i is to have a sample for i below their number. A parameter that got a gradient in no
/// shard keeps an undefined one. On the host only; needs messages between two ranks
/// (`Communicator::send`).
///
/// Of `options` shards, unused and monitor count. Throws InputError on all ranks where there are
/// more ranks than shards or a parameter lies on a GPU, and what make_bucket_reducer throws.
std::unique_ptr<GradientReducer> make_canonical_reducer(Communicator& communicator,
                                                        std::span<const NamedTensor> active,
                                                        std::span<const NamedTensor> frozen,
                                                        const ReducerOptions& options,
                                                        SlabMemory memory = {});

}  // namespace thaw
