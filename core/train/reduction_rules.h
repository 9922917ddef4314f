#pragma once

#include <cstdint>

namespace thaw {

class Model;
struct Schedule;
struct TrainOptions;

/// Shards of a global batch that "canonical" runs and sums one by one; 0 by default, where a rank's
/// share is cut as it likes.
std::int64_t canonical_shards(const TrainOptions& train);

/// Returns where `train.reduction` can be kept by what it stands beside; throws an agreed
/// InputError that names the option at fault where it cannot. The same verdict on all ranks. Pure.
///
/// "canonical" promises the same bits at any number of ranks, so each rank needs a shard, the
/// number of threads must be given (what kernels add up depends on it), shards are not cut into
/// micro-batches, the model must lie on the host, and no batch normalisation may take statistics in
/// any stage: its running ones would follow the samples of one rank.
void check_reduction(const TrainOptions& train, const Model& model, const Schedule& schedule,
                     int ranks);

/// Returns where the options that cut a rank's share into micro-batches go together and with the
/// data (`text`: it is); throws an agreed InputError where they do not. Pure.
void check_micro_batches(const TrainOptions& train, bool text);

}  // namespace thaw
