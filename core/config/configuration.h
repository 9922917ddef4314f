#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace thaw {

/// `[model]`
struct ModelOptions {
  std::string architecture;       ///< bert | resnet | resnet-cifar
  std::int64_t depth = 0;         ///< of a ResNet
  std::string weights;            ///< safetensors; "" trains from scratch
  std::string config;             ///< Hugging Face's config.json (bert)
  std::string tokenizer;          ///< tokenizer.json, carried along by export (bert)
  std::string pooling = "mean";   ///< mean | cls
  std::string head = "new";       ///< new | loaded
  double dropout = -1;            ///< overrides config.json's; < 0: as there
  double attention_dropout = -1;  ///< likewise
  double head_dropout = -1;       ///< likewise, before the head
};

/// `[data]`
struct DataOptions {
  std::vector<std::string> file;   ///< one, several, or globs: read as one dataset, in this order
  std::int64_t batch = 64;         ///< global
  std::int64_t seed = 0;
  std::string cache = "auto";      ///< of chunked files: auto | memory | off | a folder
  std::int64_t read_ahead = 4;     ///< batches prepared in advance
  std::int64_t crop_padding = 0;   ///< random crop with so many pixels of padding; 0: none
  bool horizontal_flip = false;
  std::int64_t evaluation_batch = 0;  ///< global; 0: as batch
};

/// `[train]`
struct TrainOptions {
  std::string precision = "float32";       ///< float32 | bfloat16 | float64
  std::int64_t micro_batch = 0;            ///< samples a forward a rank; 0: the whole share
  std::int64_t seed = 0;                   ///< of the new head and of dropout
  std::string optimizer = "adamw";         ///< adamw | sgd
  double weight_decay = 0.01;
  bool decay_norms_and_biases = false;
  double beta1 = 0.9;
  double beta2 = 0.999;
  double epsilon = 1e-8;
  double momentum = 0.9;                   ///< sgd
  bool nesterov = false;                   ///< sgd
  double clip_norm = 0;                    ///< global norm of active gradients; 0: no clipping
  double label_smoothing = 0;
  std::string batch_norm = "synchronized"; ///< of active layers: synchronized | local
  std::string frozen_batch_norm = "keep";  ///< running statistics of frozen layers: keep | update
  std::string frozen_dropout = "off";      ///< off | on
  std::int64_t evaluate_every = 0;         ///< steps; 0: at each epoch's end and each stage's end
  std::int64_t threads = 0;                ///< intra-op, of a rank; 0: the cores it was given
};

/// `[checkpoint]`
struct CheckpointOptions {
  std::int64_t every_steps = 500;  ///< 0: only at transitions and at the end
  std::int64_t keep = 3;
};

/// `[distributed]`
struct DistributedOptions {
  std::int64_t bucket_bytes = 0;   ///< cap of a bucket; 0: follows the active bytes
  std::string overlap = "auto";    ///< auto | on | off
};

/// `[output]`
struct OutputOptions {
  std::string run_dir;             ///< "": runs/<name of the configuration file>
  std::int64_t log_every = 1;      ///< steps between `step` lines of metrics.jsonl
  std::string progress = "auto";   ///< auto | line | log | off
};

/// What a configuration file says, but for its schedule (core/schedule/schedule.h).
/// Paths in it are relative to the working directory, as on the command line.
struct Configuration {
  ModelOptions model;
  DataOptions data;
  TrainOptions train;
  CheckpointOptions checkpoint;
  DistributedOptions distributed;
  OutputOptions output;
};

}  // namespace thaw
