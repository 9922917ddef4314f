#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/config/choices.h"

namespace thaw {

/// `[[model.group]]`: parameters that freeze and thaw as one.
struct GroupOptions {
  std::string name;
  std::vector<std::string> parameters;  ///< patterns of their names; "!" in front takes out

  friend bool operator==(const GroupOptions&, const GroupOptions&) = default;
};

/// `[model]`
struct ModelOptions {
  std::string architecture;  ///< a line of core/config/model_families.inc
  std::int64_t depth = 0;    ///< layers, where a family comes in several
  std::string weights;       ///< safetensors; "" trains from scratch
  std::string config;        ///< Hugging Face's config.json
  std::string tokenizer;     ///< tokenizer.json, carried along by export
  Pooling pooling = Pooling::kMean;
  HeadSource head = HeadSource::kNew;
  double dropout = -1;                    ///< overrides config.json's; < 0: as there
  double attention_dropout = -1;          ///< likewise
  double head_dropout = -1;               ///< likewise, before the head
  std::vector<GroupOptions> groups = {};  ///< from input to output; none: the model's own

  friend bool operator==(const ModelOptions&, const ModelOptions&) = default;
};

/// `[data]`
struct DataOptions {
  std::vector<std::string> file;  ///< one, several, or globs: read as one dataset, in this order
  std::int64_t batch = 64;        ///< global
  std::int64_t seed = 0;
  double fraction = 1;            ///< of each class's training samples that are used
  std::int64_t per_class = 0;     ///< training samples of each class at most; 0: no limit
  std::string cache = "auto";     ///< of chunked files: auto | memory | off | a folder
  std::int64_t read_ahead = 4;    ///< batches prepared in advance
  std::int64_t crop_padding = 0;  ///< random crop with so many pixels of padding; 0: none
  bool horizontal_flip = false;
  std::int64_t evaluation_batch = 0;  ///< global; 0: as batch

  friend bool operator==(const DataOptions&, const DataOptions&) = default;
};

/// `[task]`
struct TaskOptions {
  TaskKind kind = TaskKind::kAuto;

  friend bool operator==(const TaskOptions&, const TaskOptions&) = default;
};

/// `[train]`
struct TrainOptions {
  DeviceChoice device = DeviceChoice::kAuto;
  Precision precision = Precision::kFloat32;
  std::int64_t micro_batch = 0;         ///< samples a forward a rank; 0: the whole share
  std::int64_t micro_batch_tokens = 0;  ///< text: most tokens a forward a rank; 0: no limit
  std::int64_t seed = 0;                ///< of the new head and of dropout
  OptimizerKind optimizer = OptimizerKind::kAdamW;
  double weight_decay = 0.01;
  bool decay_norms_and_biases = false;
  double beta1 = -1;      ///< of the optimizer's means; -1: its own, see with_own_defaults
  double beta2 = -1;      ///< likewise
  double epsilon = 1e-8;  ///< adamw
  double momentum = 0.9;  ///< sgd
  bool nesterov = false;  ///< sgd
  double clip_norm = 0;   ///< global norm of active gradients; 0: no clipping
  double label_smoothing = 0;
  bool gradient_checkpointing = false;  ///< layers are computed again in backward
  BatchNormStatistics batch_norm = BatchNormStatistics::kSynchronized;  ///< of active layers
  FrozenBatchNorm frozen_batch_norm =
      FrozenBatchNorm::kKeep;  ///< running statistics of frozen layers
  FrozenDropout frozen_dropout = FrozenDropout::kOff;
  AttentionDraws attention_dropout_draws = AttentionDraws::kKeyed;  ///< on a GPU
  PrefixCacheUse prefix_cache = PrefixCacheUse::kAuto;  ///< of what frozen groups compute
  std::string prefix_cache_folder = {};                 ///< "": one of the user's own in $TMPDIR
  double prefix_cache_gib = 0;  ///< most that the folder's files take; 0: half of the room there
  std::int64_t evaluate_every = 0;  ///< steps; 0: at each epoch's end and each stage's end
  Reduction reduction = Reduction::kBuckets;  ///< how gradients are summed
  std::int64_t shards = 8;                    ///< of a global batch, in canonical
  std::int64_t threads = 0;                   ///< intra-op, of a rank; 0: the cores it was given
  bool tf32 = false;             ///< float32 products and convolutions on a GPU in TensorFloat-32
  bool cudnn_benchmark = false;  ///< cuDNN times its convolutions and takes the fastest
  CudaGraphs cuda_graphs = CudaGraphs::kOff;  ///< of training steps on a GPU
  bool deterministic = false;                 ///< the same bits in each run, or an error
  NotFinite not_finite = NotFinite::kStop;    ///< loss or gradients
  std::int64_t skip_limit = 5;                ///< steps in a row that may be skipped

  friend bool operator==(const TrainOptions&, const TrainOptions&) = default;
};

/// `[checkpoint]`
struct CheckpointOptions {
  std::int64_t every_steps = 500;  ///< 0: only at transitions and at the end
  std::int64_t keep = 3;
  bool keep_best = true;         ///< the one with the best evaluation stays too
  bool keep_transitions = true;  ///< those at transitions stay too
  bool asynchronous = true;      ///< written beside training
  double time_limit = 0;         ///< seconds from the start until training is to be over; 0: none

  friend bool operator==(const CheckpointOptions&, const CheckpointOptions&) = default;
};

/// `[distributed]`
struct DistributedOptions {
  std::int64_t bucket_bytes = 0;  ///< cap of a bucket; 0: follows the active bytes
  Overlap overlap = Overlap::kAuto;
  EmbeddingRows embedding_rows = EmbeddingRows::kAuto;  ///< embedding gradients by touched rows
  GradientWire wire = GradientWire::kSame;              ///< as what gradients travel
  Sharding sharding = Sharding::kNone;                  ///< what ranks share out between them
  ShareFrozen share_frozen = ShareFrozen::kAuto;        ///< frozen weights once a host
  FrozenStatePlace frozen_state = FrozenStatePlace::kDevice;  ///< where state of what froze waits
  Unused unused = Unused::kAllow;    ///< active parameters without a gradient
  double hang_deadline = 300;        ///< seconds; 0: none
  double transition_deadline = 900;  ///< likewise, in transitions and at start-up
  std::int64_t audit_every = 100;    ///< steps; 0: at transitions only

  friend bool operator==(const DistributedOptions&, const DistributedOptions&) = default;
};

/// `[output]`
struct OutputOptions {
  std::string run_dir;         ///< "": runs/ and the name of the configuration file
  std::int64_t log_every = 1;  ///< steps between `step` lines of metrics.jsonl
  ProgressStyle progress = ProgressStyle::kAuto;
  std::vector<std::string> samples;  ///< prompts that a language model answers at each evaluation
  std::int64_t sample_tokens = 64;   ///< most of an answer
  bool tensorboard = false;          ///< event files beside metrics.jsonl
  std::int64_t trace_steps = 0;      ///< whose phases are written down; 0: none

  friend bool operator==(const OutputOptions&, const OutputOptions&) = default;
};

/// `[retention]`: what the network knew before, and how much of it is left.
struct ForgettingOptions {
  std::vector<std::string> data;     ///< files of the source task; none: nothing is measured
  std::string weights;               ///< of a run on it, with its head
  std::string split = "validation";  ///< of the source task
  std::int64_t samples =
      256;  ///< of the target's training data, to compare representations; 0: none

  friend bool operator==(const ForgettingOptions&, const ForgettingOptions&) = default;
};

/// What a configuration file says, but for its schedule (core/schedule/schedule.h).
/// Paths in it are relative to the working directory, as on the command line.
struct Configuration {
  ModelOptions model;
  DataOptions data;
  TaskOptions task;
  TrainOptions train;
  CheckpointOptions checkpoint;
  DistributedOptions distributed;
  ForgettingOptions forgetting;
  OutputOptions output;

  friend bool operator==(const Configuration&, const Configuration&) = default;
};

/// `[schedule]` but for its stages: a preset and its options. What a preset makes of them is
/// described in core/schedule/presets/preset.h.
struct ScheduleOptions {
  std::string preset;                       ///< see core/schedule/presets/preset.h; "": own stages
  std::int64_t groups_per_stage = 1;        ///< that each stage thaws
  double stage_epochs = 0;                  ///< length of a stage; 0: follows the total, else 1
  std::int64_t stage_steps = 0;             ///< likewise, in steps
  double total_epochs = 0;                  ///< length of all stages; 0: their sum
  std::int64_t total_steps = 0;             ///< likewise, in steps
  InputTurn embeddings = InputTurn::kAuto;  ///< the input group's turn
  HeadTurn head = HeadTurn::kFirst;         ///< the head's turn in bottom-up
  double learning_rate = 0;                 ///< must be given with a preset
  double head_learning_rate = 0;            ///< 0: as learning_rate
  double discriminative = 1;       ///< a group's rate is that of the group above, over this
  double final_learning_rate = 0;  ///< of the last stage of chain-thaw, head-then-all; 0: as is
  std::string curve = "constant";  ///< of each stage: constant | linear | cosine | ...
  CurveAtTransition curve_at_transition = CurveAtTransition::kRestart;
  std::int64_t warmup_steps = 0;
  double warmup_fraction = 0;            ///< of a stage
  double final_factor = 0;               ///< where linear and cosine end
  double cut_fraction = 0.1;             ///< of slanted-triangular
  double ratio = 32;                     ///< of slanted-triangular
  double power = 1;                      ///< of polynomial
  std::int64_t thawed_warmup_steps = 0;  ///< own warm-up of groups that a transition thawed
  double thawed_rate_cap = 0;            ///< of groups that the first stage froze; 0: none
  OptimizerCarry optimizer_state = OptimizerCarry::kKeep;  ///< at transitions
  std::string restore_best;  ///< metric; "": weights stay as they are at a stage's end
  std::string plateau;       ///< metric by which stages end before their length; "": none
  std::int64_t plateau_patience = 3;
  double plateau_least_change = 0;
  double freeze_from = 0.5;  ///< of freeze-out: share of the length, first group's end
  FreezePlan freeze_plan = FreezePlan::kLinear;  ///< of freeze-out
  bool scale_rates = false;                      ///< of freeze-out
  std::int64_t policy_every_steps = 100;         ///< of policies, in presets and stages
  std::int64_t random_groups = 2;
  std::int64_t random_seed = 0;
  double freeze_percentile = 50;  ///< of auto-freeze

  friend bool operator==(const ScheduleOptions&, const ScheduleOptions&) = default;
};

}  // namespace thaw
