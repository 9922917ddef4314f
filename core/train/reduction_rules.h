#pragma once

#include <cstdint>

namespace thaw {

class Model;
class Optimizer;
class ParameterTable;
struct DistributedOptions;
struct Schedule;
struct TrainerParts;
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

/// Whether ranks share the optimizer's state out: a job of one has nobody to share with.
bool state_is_sharded(const TrainerParts& parts);

/// Returns where `[distributed]` can shard as it says beside the other options; throws an agreed
/// InputError that names the option at fault where it cannot. Pure.
void check_sharding(const DistributedOptions& distributed, const TrainOptions& train);

/// Returns where this optimizer's state of these parameters can be shared out between ranks; throws
/// an agreed InputError that names what is at fault where it cannot. Pure.
void check_sharding(const Optimizer& optimizer, const ParameterTable& parameters);

/// Returns where the options that cut a rank's share into micro-batches go together and with the
/// data (`text`: it is); throws an agreed InputError where they do not. Pure.
void check_micro_batches(const TrainOptions& train, bool text);

}  // namespace thaw
