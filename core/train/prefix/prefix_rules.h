#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace thaw {

class Model;
class ParameterTable;
class ScheduleRun;
struct DataOptions;
struct Schedule;
struct Stage;
struct TrainOptions;

/// The first group that a stage may train, whatever its policy chooses: groups before it stay
/// frozen throughout.
std::size_t lowest_cut(const Stage& stage, const ParameterTable& parameters,
                       const TrainOptions& train);

/// Why outputs of the frozen groups before `cut` change from step to step in a stage with these
/// options, "" where they do not. `train`: as it holds in the stage.
std::string changing_prefix(const TrainOptions& train, const Model& model,
                            const ParameterTable& parameters, std::size_t cut);

/// Why outputs for training samples change whatever the network does: they are drawn anew each
/// time. "" where they do not.
std::string changing_samples(const DataOptions& data);

/// Throws an agreed InputError where `train.prefix-cache = "on"` cannot be kept: no stage has a
/// frozen prefix, outputs change in one, or the model runs whole.
void check_prefix_cache(const TrainOptions& train, const DataOptions& data, const Model& model,
                        const ParameterTable& parameters, const Schedule& schedule);

/// What is to be drawn from now on while groups before `boundary` stay frozen.
struct PrefixStage {
  std::size_t boundary = 0;
  double samples = 0;      ///< of training
  double evaluations = 0;  ///< of the whole validation split
};

/// The stage that runs and those that follow, up to the first that trains the first group or in
/// which outputs change; empty where this one does. A stage of unknown length counts as an epoch.
/// Boundaries descend: what has been trained once is another prefix.
std::vector<PrefixStage> prefix_stages(const Schedule& schedule, const ScheduleRun& run,
                                       std::int64_t cursor, std::int64_t train_samples,
                                       const TrainOptions& train, const DataOptions& data,
                                       const Model& model, const ParameterTable& parameters);

/// The numbers of samples that forwards of a split have, ascending: all of them for images, some
/// for texts, whose forwards differ by their tokens.
struct ForwardSizes {
  std::int64_t samples = 0;      ///< of the split
  std::int64_t batch = 0;        ///< global
  std::int64_t pieces = 1;       ///< that a batch is cut into: ranks, or shards
  std::int64_t micro_batch = 0;  ///< 0: none
  bool text = false;
};
std::vector<std::int64_t> forward_sizes(const ForwardSizes& of);

}  // namespace thaw
