#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <optional>
#include <string_view>
#include <type_traits>

/// \file
/// The options that are one of a few words, each with its words.

namespace thaw {

// Note [Names of enumerations]
// An option that is one of a few words is an enumeration in the program. The words stand once,
// beside the enumeration and in the order of its values:
//   enum class Precision { kFloat32, kBFloat16, kFloat64 };
//   constexpr auto names_of(Precision) { return names("float32", "bfloat16", "float64"); }
// Everything else follows: the choices in --help and in errors, reading, and writing.

/// The words of an enumeration, for its `names_of`.
template <class... Texts>
constexpr std::array<std::string_view, sizeof...(Texts)> names(Texts... texts) {
  return {std::string_view(texts)...};
}

/// An enumeration whose values have names.
template <class Enumeration>
concept Named = std::is_enum_v<Enumeration> && requires(Enumeration value) {
  names_of(value);
};

/// The word for `value`.
template <Named Enumeration>
constexpr std::string_view name_of(Enumeration value) {
  return names_of(value).at(static_cast<std::size_t>(value));
}

/// The value that `name` stands for; nothing where it stands for none.
template <Named Enumeration>
constexpr std::optional<Enumeration> named(std::string_view name) {
  const auto all = names_of(Enumeration{});
  const auto found = std::find(all.begin(), all.end(), name);
  if (found == all.end()) return std::nullopt;
  return static_cast<Enumeration>(found - all.begin());
}

// --- [model] ---

/// How the tokens of a text become one vector.
enum class Pooling {
  kMean,  ///< the mean over all tokens, as sentence-transformers does
  kCls,   ///< the first token, through the head of transformers' ...ForSequenceClassification
};
constexpr auto names_of(Pooling) { return names("mean", "cls"); }

/// Where the head's weights come from.
enum class HeadSource {
  kNew,     ///< random, sized by the data
  kLoaded,  ///< the weights file
};
constexpr auto names_of(HeadSource) { return names("new", "loaded"); }

// --- [task] ---

/// What is learnt: a line of core/config/tasks.inc each, behind "auto", what the data says. The
/// list stands here, below the tasks themselves, since --help and errors need no more of them.
enum class TaskKind {
  kAuto,
#define THAW_TASK(type, room, name) k##type,
#include "core/config/tasks.inc"
#undef THAW_TASK
};

inline constexpr auto kTaskNames = std::to_array<std::string_view>({
    "auto",
#define THAW_TASK(type, room, name) name,
#include "core/config/tasks.inc"
#undef THAW_TASK
});
constexpr auto names_of(TaskKind) { return kTaskNames; }

// --- [train] ---

/// The update rule: a line of core/config/optimizers.inc each. The list stands here, below the
/// optimizers themselves, since --help, errors and defaults need no more of them.
enum class OptimizerKind {
#define THAW_OPTIMIZER(type, name, ...) k##type,
#include "core/config/optimizers.inc"
#undef THAW_OPTIMIZER
};

inline constexpr auto kOptimizerNames = std::to_array<std::string_view>({
#define THAW_OPTIMIZER(type, name, ...) #name,
#include "core/config/optimizers.inc"
#undef THAW_OPTIMIZER
});
constexpr auto names_of(OptimizerKind) { return kOptimizerNames; }

/// Where ranks compute.
enum class DeviceChoice {
  kAuto,  ///< on GPUs as soon as one rank sees any
  kCpu,
  kCuda,
};
constexpr auto names_of(DeviceChoice) { return names("auto", "cpu", "cuda"); }

/// Of the computation. Weights are float32 under bfloat16.
enum class Precision { kFloat32, kBFloat16, kFloat64 };
constexpr auto names_of(Precision) { return names("float32", "bfloat16", "float64"); }

/// Over which samples active batch normalisation takes its statistics.
enum class BatchNormStatistics {
  kSynchronized,  ///< the micro-batches of all ranks
  kLocal,         ///< its rank's own
};
constexpr auto names_of(BatchNormStatistics) { return names("synchronized", "local"); }

/// The running statistics of frozen batch normalisation.
enum class FrozenBatchNorm { kKeep, kUpdate };
constexpr auto names_of(FrozenBatchNorm) { return names("keep", "update"); }

/// The dropout of frozen layers.
enum class FrozenDropout { kOff, kOn };
constexpr auto names_of(FrozenDropout) { return names("off", "on"); }

/// Which of attention's probabilities dropout drops, on a GPU.
enum class AttentionDraws {
  kKeyed,  ///< those that every device and any number of ranks draws
  kFast,   ///< those that LibTorch's flash attention draws
};
constexpr auto names_of(AttentionDraws) { return names("keyed", "fast"); }

/// Whether training steps on a GPU are captured in CUDA graphs.
enum class CudaGraphs {
  kOff,
  kAuto,  ///< where they can be; else it is said once why not
  kOn,    ///< likewise, and a run in which none can be is refused
};
constexpr auto names_of(CudaGraphs) { return names("off", "auto", "on"); }

/// How gradients are summed.
enum class Reduction {
  kBuckets,    ///< as fast as it goes: bits depend on the number of ranks
  kCanonical,  ///< in one order over fixed shards of the batch
};
constexpr auto names_of(Reduction) { return names("buckets", "canonical"); }

/// Whether outputs of frozen groups are kept, and read in place of running them again.
enum class PrefixCacheUse {
  kAuto,  ///< where that is faster and changes no bit
  kOn,    ///< or the run is refused; equal to rounding where bits are not equal
  kOff,
};
constexpr auto names_of(PrefixCacheUse) { return names("auto", "on", "off"); }

/// What becomes of a step whose loss or gradients are not finite.
enum class NotFinite {
  kStop,    ///< the run ends with an error
  kSkip,    ///< the step changes nothing, a few times in a row
  kGoBack,  ///< likewise, and then the run goes back to its last checkpoint
};
constexpr auto names_of(NotFinite) { return names("stop", "skip", "go-back"); }

// --- [distributed] ---

/// Whether buckets travel while backward goes on.
enum class Overlap { kAuto, kOn, kOff };
constexpr auto names_of(Overlap) { return names("auto", "on", "off"); }

/// Whether gradients of embeddings travel as the rows that were touched.
enum class EmbeddingRows { kAuto, kOff };
constexpr auto names_of(EmbeddingRows) { return names("auto", "off"); }

/// As what gradients travel between ranks.
enum class GradientWire {
  kSame,      ///< as they are
  kBFloat16,  ///< rounded to bfloat16: half or a quarter of the bytes
};
constexpr auto names_of(GradientWire) { return names("same", "bfloat16"); }

/// What each rank has a slice of alone, instead of all: see Note [Sharded state].
enum class Sharding {
  kNone,
  kOptimizer,  ///< the optimizer's state
  kGradients,  ///< that, and the sums of gradients
};
constexpr auto names_of(Sharding) { return names("none", "optimizer", "gradients"); }

/// Whether the ranks of one host hold frozen weights once: see Note [Frozen weights once a host].
enum class ShareFrozen {
  kAuto,  ///< where several ranks are on a host, in host memory
  kOff,
};
constexpr auto names_of(ShareFrozen) { return names("auto", "off"); }
/// Where an optimizer's state waits while its parameter is frozen.
enum class FrozenStatePlace {
  kDevice,  ///< where it is while it is active
  kHost,    ///< in host memory
  kDisk,    ///< in files without names in the run folder
};
constexpr auto names_of(FrozenStatePlace) { return names("device", "host", "disk"); }

/// What becomes of a step in which a rank that had samples left an active parameter without a
/// gradient.
enum class Unused {
  kAllow,  ///< it counts as zero there; used on no rank, the parameter's `.grad` is undefined
  kError,  ///< RunError on all ranks, naming the parameter
};
constexpr auto names_of(Unused) { return names("allow", "error"); }

// --- [output] ---

/// How a run is shown to whoever watches it.
enum class ProgressStyle {
  kAuto,  ///< a line where someone watches a terminal, else a log
  kLine,  ///< one line that changes
  kLog,   ///< lines now and then
  kOff,
};
constexpr auto names_of(ProgressStyle) { return names("auto", "line", "log", "off"); }

// --- [schedule] ---

/// When a preset thaws the model's input group.
enum class InputTurn { kAuto, kFirst, kLast, kNever };
constexpr auto names_of(InputTurn) { return names("auto", "first", "last", "never"); }

/// When bottom-up thaws the head.
enum class HeadTurn { kFirst, kLast };
constexpr auto names_of(HeadTurn) { return names("first", "last"); }

/// Whether each stage of a preset has a curve of its own, or all share one.
enum class CurveAtTransition { kRestart, kContinue };
constexpr auto names_of(CurveAtTransition) { return names("restart", "continue"); }

/// What becomes of the optimizer's state when a stage begins.
enum class OptimizerCarry {
  kKeep,        ///< every parameter goes on with the state it last had
  kReset,       ///< all begin anew
  kKeepStaying  ///< those that were active just before go on, all others begin anew
};
constexpr auto names_of(OptimizerCarry) { return names("keep", "reset", "keep-staying"); }

/// How freeze-out spreads the ends of groups over the run.
enum class FreezePlan {
  kLinear,
  kCubic,  ///< earlier groups freeze sooner
};
constexpr auto names_of(FreezePlan) { return names("linear", "cubic"); }

}  // namespace thaw
