// The rows of Note [One table of options].
#include "core/config/model_families.h"
#include "core/config/optimizers.h"
#include "core/config/option_table.h"
#include "core/config/table_builder.h"

namespace thaw {
namespace {

// Beyond it float32 holds nothing of a step.
constexpr Range kRate{.least = 0, .most = 1e30};
// What is in double what float32 would round to 0.
constexpr Range kNorm{.least = 1e-30, .most = 1e30, .or_zero = true};
constexpr Range kSeed{.least = -0x1p63, .most = 0x1p63};
// What is counted may be any number that a double holds to the unit. What costs memory or threads
// by its size has bounds of its own: beyond them stands nothing but a slip of the finger, which
// would end in the middle of a training.
constexpr Range kCount{.least = 0, .most = 1e15};
constexpr Range kPositive{.least = 1, .most = 1e15};
constexpr Range kBatch{.least = 1, .most = 1e9};
constexpr Range kBatchOrNone{.least = 0, .most = 1e9};
constexpr Range kSeconds{.least = 1e-3, .most = 1e9, .or_zero = true};
constexpr Range kThreads{.least = 0, .most = 4096};
constexpr Range kSteps{.least = 1, .most = 1e15};
constexpr Range kEpochs{.above = 0, .most = 1e9};
constexpr Range kFraction{.least = 0, .below = 1};

void add_model(TableBuilder& table) {
  using M = ModelOptions;
  table.section("model");
  table.add(&M::architecture, "architecture", "", family_choices(),
            Required{.told_by = "model.config"});
  table.add(&M::depth, "depth", "layers", "18, 34, 50, ...; of networks for CIFAR: 20, 32, ...",
            Range{.least = 1, .most = 10000});
  table.add(
      &M::weights, "weights", "",
      "safetensors file to start from, its parts' index, or a folder of either; empty: random");
  table.add(&M::config, "config", "", "config.json of a Hugging Face model");
  table.add(&M::tokenizer, "tokenizer", "", "tokenizer.json, which an export carries along");
  table.add(&M::pooling, "pooling", "", "of tokens to a sentence");
  table.add(&M::head, "head", "", "new: random, sized by the data's classes; loaded: from weights");
  table.add(
      &M::dropout, "dropout", "",
      "of hidden layers, of whole blocks in convolutional networks; -1: as in training before",
      kFraction);
  table.add(&M::attention_dropout, "attention-dropout", "", "-1: as config.json says", kFraction);
  table.add(&M::head_dropout, "head-dropout", "", "before the head; -1: as in training before",
            kFraction);
}

void add_data(TableBuilder& table) {
  using D = DataOptions;
  table.section("data");
  table.add(&D::file, "file", "", "HDF5 files or globs, read as one dataset in this order",
            Required{});
  table.add(&D::batch, "batch", "samples", "of one optimizer step, over all ranks", kBatch);
  table.add(&D::seed, "seed", "", "of the order of samples and of their augmentation", kSeed);
  table.add(&D::fraction, "fraction", "",
            "of the training samples of each class that are used, chosen by seed",
            Range{.above = 0, .most = 1});
  table.add(&D::per_class, "per-class", "samples", "of each class at most; 0: no limit", kCount);
  table.add(&D::cache, "cache", "",
            "where badly chunked files are kept decoded: auto, memory, off, or a folder");
  table.add(&D::read_ahead, "read-ahead", "batches", "prepared in advance",
            Range{.least = 0, .most = 1000});
  table.add(&D::crop_padding, "crop-padding", "pixels",
            "random crop of training images after so much padding; 0: none",
            Range{.least = 0, .most = 10000});
  table.add(&D::horizontal_flip, "horizontal-flip", "", "mirrors half of the training images");
  table.add(&D::evaluation_batch, "evaluation-batch", "samples",
            "of one evaluation step, over all ranks; 0: as batch", kBatchOrNone);
}

void add_task(TableBuilder& table) {
  table.section("task");
  table.add(&TaskOptions::kind, "kind", "", "what is learnt; auto: what the data file says");
}

void add_micro_batches(TableBuilder& table) {
  using T = TrainOptions;
  table.add(&T::micro_batch, "micro-batch", "samples",
            "of one forward on one rank; 0: the rank's whole share", kBatchOrNone);
  table.add(&T::micro_batch_tokens, "micro-batch-tokens", "tokens",
            "of text, at most, of one forward on one rank (one sample at least); 0: no limit",
            kBatchOrNone);
}

/// What frozen layers do, and active ones beside them.
void add_frozen_layers(TableBuilder& table) {
  using T = TrainOptions;
  table.add(&T::batch_norm, "batch-norm", "", "statistics of active layers");
  table.add(&T::frozen_batch_norm, "frozen-batch-norm", "", "running statistics of frozen layers");
  table.add(&T::frozen_dropout, "frozen-dropout", "", "dropout of frozen layers");
  table.add(
      &T::attention_dropout_draws, "attention-dropout-draws", "",
      "dropout of attention on a GPU; fast: as LibTorch's flash attention draws, in bfloat16, "
      "so that masks depend on the number of ranks (on the CPU it means nothing)");
  table.add(&T::prefix_cache, "prefix-cache", "",
            "outputs of the frozen groups before the first active one are kept in files and read "
            "in place of running those again; auto: where that is faster and changes no bit; on: "
            "also where it is equal to rounding, or an error");
  table.add(&T::prefix_cache_folder, "prefix-cache-folder", "",
            "where they are kept, for all runs on this host; empty: one of your own in $TMPDIR");
  table.add(&T::prefix_cache_gib, "prefix-cache-gib", "GiB",
            "most that they take there; 0: half of the room", Range{.least = 0, .most = 1e6});
}

void add_train(TableBuilder& table) {
  using T = TrainOptions;
  table.section("train");
  table.add(&T::device, "device", "",
            "where ranks compute; cuda: on a GPU each; auto: cuda where a rank sees a GPU");
  table.add(&T::precision, "precision", "", "of the computation");
  add_micro_batches(table);
  table.add(&T::seed, "seed", "", "of the new head and of dropout", kSeed);
  table.add(&T::optimizer, "optimizer", "", "");
  table.add(&T::weight_decay, "weight-decay", "", "decoupled; added to gradients in sgd", kRate);
  table.add(&T::decay_norms_and_biases, "decay-norms-and-biases", "",
            "weight decay of normalization layers and biases too");
  table.add(
      &T::beta1, "beta1", "",
      "first decay rate of means of gradients; -1: " + own_defaults(&OptimizerDefaults::beta1),
      kFraction);
  table.add(
      &T::beta2, "beta2", "",
      "second decay rate, in adamw of squares; -1: " + own_defaults(&OptimizerDefaults::beta2),
      kFraction);
  table.add(&T::epsilon, "epsilon", "", "of adamw's denominator",
            Range{.least = 1e-30, .most = 1e6});
  table.add(&T::momentum, "momentum", "", "of sgd", kFraction);
  table.add(&T::nesterov, "nesterov", "", "Nesterov's momentum, of sgd");
  table.add(&T::clip_norm, "clip-norm", "",
            "largest global norm of the active gradients; 0: no clipping", kNorm);
  table.add(&T::label_smoothing, "label-smoothing", "", "share of the target spread evenly",
            kFraction);
  table.add(&T::gradient_checkpointing, "gradient-checkpointing", "",
            "encoder layers and residual blocks are computed again in backward: less memory, the "
            "same gradients, a forward more");
  add_frozen_layers(table);
  table.add(&T::evaluate_every, "evaluate-every", "steps",
            "0: at the end of each epoch and each stage", kCount);
  table.add(&T::reduction, "reduction", "",
            "how gradients are summed; canonical: in one order over fixed shards of the batch, so "
            "that all bits are the same at any number of ranks (CPU; distributed.bucket-bytes, "
            "overlap and embedding-rows then mean nothing)");
  table.add(&T::shards, "shards", "shards",
            "of a batch in canonical, each a forward of its own: at most so many ranks",
            Range{.least = 1, .most = 4096});
  table.add(&T::threads, "threads", "threads",
            "that one rank computes with; 0: the cores it was given", kThreads);
  table.add(&T::tf32, "tf32", "",
            "float32 products and convolutions on a GPU in TensorFloat-32: 10 bits of mantissa");
  table.add(&T::cudnn_benchmark, "cudnn-benchmark", "",
            "cuDNN times its algorithms at each new shape and takes the fastest; not with "
            "deterministic");
  table.add(&T::cuda_graphs, "cuda-graphs", "",
            "training steps on GPUs are captured and queued again with one call, texts of many "
            "lengths filled up to classes of sizes for it; auto: where they can be; on: or the run "
            "is refused");
  table.add(&T::deterministic, "deterministic", "",
            "the same bits in each run and resume: refuses what would change them");
  table.add(&T::not_finite, "not-finite", "",
            "loss or gradients that are not finite: stop; skip the step; go-back: after too many "
            "skipped, to the last checkpoint");
  table.add(&T::skip_limit, "skip-limit", "steps", "in a row that may be skipped", kPositive);
}

/// What presets say of transitions and the ends of stages.
void add_transitions(TableBuilder& table) {
  using S = ScheduleOptions;
  table.add(&S::thawed_warmup_steps, "thawed-warmup-steps", "steps",
            "of linear warm-up of groups that a transition thawed", kCount);
  table.add(&S::thawed_rate_cap, "thawed-rate-cap", "",
            "most that rates of groups become which the first stage froze; 0: no cap", kRate);
  table.add(&S::optimizer_state, "optimizer-state", "",
            "at transitions; keep-staying: kept for groups that stay active, new for all others");
  table.add(&S::restore_best, "restore-best", "",
            "metric by whose best the weights are put back at a stage's end; empty: they stay");
  table.add(&S::plateau, "plateau", "",
            "metric whose plateau ends a stage before its length; empty: nothing does");
  table.add(&S::plateau_patience, "plateau-patience", "evaluations", "without a new best",
            Range{.least = 1, .most = 1e9});
  table.add(&S::plateau_least_change, "plateau-least-change", "", "of a new best",
            Range{.least = 0, .most = 1e9});
}

/// What freeze-out and the policies need.
void add_freezing(TableBuilder& table) {
  using S = ScheduleOptions;
  table.add(&S::freeze_from, "freeze-from", "",
            "share of the whole length after which freeze-out freezes the first group",
            Range{.above = 0, .most = 1});
  table.add(&S::freeze_plan, "freeze-plan", "", "of freeze-out; cubic: earlier ones sooner");
  table.add(&S::scale_rates, "scale-rates", "",
            "freeze-out divides rates by the share of the length that a group has");
  table.add(&S::policy_every_steps, "policy-every-steps", "steps",
            "between two choices of a policy", kPositive);
  table.add(&S::random_groups, "random-groups", "groups",
            "drawn by random and gradient-guided, besides head and embeddings", kPositive);
  table.add(&S::random_seed, "random-seed", "", "of their draws", kSeed);
  table.add(&S::freeze_percentile, "freeze-percentile", "",
            "auto-freeze freezes from the input on what changes less than this share of groups",
            Range{.least = 0, .most = 100});
}

void add_schedule(TableBuilder& table) {
  using S = ScheduleOptions;
  table.section("schedule");
  // The words that presets, curves and metrics may be are known where those are: see
  // `schedule_choices`, core/schedule/resolve_schedule.h.
  table.add(&S::preset, "preset", "", "empty: the stages that the file writes");
  table.add(&S::groups_per_stage, "groups-per-stage", "groups", "that each further stage thaws",
            kPositive);
  table.add(&S::stage_epochs, "stage-epochs", "epochs",
            "length of a stage; 0: its share of the total, else 1", kEpochs);
  table.add(&S::stage_steps, "stage-steps", "steps", "length of a stage, in steps", kSteps);
  table.add(&S::total_epochs, "total-epochs", "epochs",
            "length of all stages; beside stage-epochs, the last stage lasts until then", kEpochs);
  table.add(&S::total_steps, "total-steps", "steps", "length of all stages, in steps", kSteps);
  table.add(&S::embeddings, "embeddings", "",
            "turn of the group " + input_groups() +
                "; auto: first in bottom-up, last in top-down; random: first is always active, "
                "last drawn "
                "like the layers");
  table.add(&S::head, "head", "", "turn of the head in bottom-up");
  table.add(&S::learning_rate, "learning-rate", "",
            "of the head, or of the group below where head-learning-rate is given", kRate);
  table.add(&S::head_learning_rate, "head-learning-rate", "", "0: learning-rate", kRate);
  table.add(&S::final_learning_rate, "final-learning-rate", "",
            "of the last stage of chain-thaw and head-then-all; 0: as in the others", kRate);
  table.add(&S::discriminative, "discriminative", "",
            "each group's rate is that of the group above over this (ULMFiT: 2.6)",
            Range{.least = 1e-6, .most = 1e6});
  table.add(&S::curve, "curve", "", "of the learning rates over each stage");
  table.add(&S::curve_at_transition, "curve-at-transition", "",
            "each stage has a curve of its own, or all stages share one");
  table.add(&S::warmup_steps, "warmup-steps", "steps", "of linear warm-up in each stage",
            Range{.least = 0, .most = 1e15});
  table.add(&S::warmup_fraction, "warmup-fraction", "", "of each stage; for warmup-steps = 0",
            kFraction);
  table.add(&S::final_factor, "final-factor", "", "where linear, cosine and polynomial end",
            Range{.least = 0, .most = 1});
  table.add(&S::cut_fraction, "cut-fraction", "", "share of slanted-triangular that rises",
            Range{.above = 0, .below = 1});
  table.add(&S::ratio, "ratio", "", "peak over lowest rate of slanted-triangular",
            Range{.least = 1, .most = 1e9});
  table.add(&S::power, "power", "", "of polynomial", Range{.least = 1e-3, .most = 1000});
  add_transitions(table);
  add_freezing(table);
}

void add_checkpoint(TableBuilder& table) {
  using C = CheckpointOptions;
  table.section("checkpoint");
  table.add(
      &C::every_steps, "every-steps", "steps",
      "between checkpoints; 0: only at transitions and at the end; -1: only where stopped early",
      Range{.least = -1, .most = 1e15});
  table.add(&C::keep, "keep", "checkpoints", "newest ones that stay", kPositive);
  table.add(&C::keep_best, "keep-best", "", "the one with the best evaluation stays too");
  table.add(&C::keep_transitions, "keep-transitions", "", "those at transitions stay too");
  table.add(&C::asynchronous, "asynchronous", "", "written beside training");
  table.add(&C::time_limit, "time-limit", "seconds",
            "from the start; training stops in time to save before; 0: none, or Slurm's job end",
            kSeconds);
}

void add_distributed(TableBuilder& table) {
  using D = DistributedOptions;
  table.section("distributed");
  table.add(&D::bucket_bytes, "bucket-bytes", "bytes",
            "cap of a gradient bucket; 0: follows the active bytes", kCount);
  table.add(&D::overlap, "overlap", "", "gradients averaged while backward runs");
  table.add(&D::embedding_rows, "embedding-rows", "",
            "gradients of embeddings travel as the rows that were touched");
  table.add(&D::wire, "wire", "",
            "as what gradients travel between ranks: as they are, or rounded to bfloat16 (half the "
            "bytes; embedding-rows means nothing then)");
  table.add(
      &D::sharding, "sharding", "",
      "what each rank holds a slice of instead of all: the optimizer's state, or that and the "
      "sums of gradients");
  table.add(&D::share_frozen, "share-frozen", "",
            "ranks of one host hold frozen weights once, in memory that they share (of GPUs: what "
            "bfloat16 leaves in host memory)");
  table.add(&D::frozen_state, "frozen-state", "",
            "where the optimizer's state of frozen layers waits: on its device, in host memory, or "
            "on disk in the run folder");
  table.add(
      &D::unused, "unused", "",
      "an active parameter that got no gradient on a rank counts as zero there, or is an error");
  table.add(&D::hang_deadline, "hang-deadline", "seconds",
            "that a rank may hold up the others, or not answer; 0: for ever", kSeconds);
  table.add(&D::transition_deadline, "transition-deadline", "seconds",
            "the same in transitions and at start-up", kSeconds);
  table.add(&D::audit_every, "audit-every", "steps",
            "between comparisons of weights and optimizer state over ranks; 0: at transitions only",
            kCount);
}

void add_forgetting(TableBuilder& table) {
  using R = ForgettingOptions;
  table.section("retention");
  table.add(&R::data, "data", "",
            "HDF5 files of the source task: what the network could do before; empty: not measured");
  table.add(&R::weights, "weights", "", "of a run on the source task, with its head");
  table.add(&R::split, "split", "", "of the source task that is measured");
  table.add(&R::samples, "samples", "samples",
            "of the training data, on which representations are compared; 0: none", kCount);
}

void add_output(TableBuilder& table) {
  using O = OutputOptions;
  table.section("output");
  table.add(&O::run_dir, "run-dir", "",
            "folder of the run; empty: runs/ and the configuration file's name");
  table.add(&O::log_every, "log-every", "steps", "between step lines of metrics.jsonl", kPositive);
  table.add(&O::progress, "progress", "", "line: one that moves; log: lines now and then");
  table.add(
      &O::samples, "samples", "",
      "prompts that a language model answers at each evaluation, as it then would; a flag has "
      "one, and may be given several times",
      Texts{});
  table.add(&O::sample_tokens, "sample-tokens", "tokens", "most of such an answer",
            Range{.least = 1, .most = 1e6});
  table.add(&O::tensorboard, "tensorboard", "",
            "writes the log's numbers as TensorBoard's event files too, into tensorboard/ of the "
            "run folder");
  table.add(&O::trace_steps, "trace-steps", "steps",
            "the first ones after each start, whose phases on each rank are written to "
            "trace-STEP.json, for chrome://tracing or Perfetto; 0: none",
            Range{.least = 0, .most = 10'000});
}

}  // namespace

const std::vector<Option>& option_table() {
  static const std::vector<Option> table = [] {
    TableBuilder builder;
    add_model(builder);
    add_data(builder);
    add_task(builder);
    add_train(builder);
    add_schedule(builder);
    add_checkpoint(builder);
    add_distributed(builder);
    add_forgetting(builder);
    add_output(builder);
    return builder.take();
  }();
  return table;
}

}  // namespace thaw
