#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "core/base/error.h"

namespace thaw {

class ShardedState;

/// What was reduced in a step is not the set of active parameters: the ranks would part silently.
class ReductionMismatch : public DisagreementError {
 public:
  using DisagreementError::DisagreementError;
};

/// The part of a global batch that this rank computes in one optimizer step.
struct SampleShare {
  std::int64_t samples = 0;  ///< of this rank; may be 0
  std::int64_t total = 0;    ///< of all ranks; > 0
};

/// What one step's reduction moved and cost.
struct ReductionCounters {
  std::int64_t payload_bytes = 0;  ///< gradients of active parameters, once; rows that were touched
                                   ///< and their marks where a gradient travels by rows
  std::int64_t padding_bytes = 0;  ///< alignment between them
  std::int64_t collectives = 0;    ///< calls
  double exposed_seconds = 0;      ///< time in which backward had ended and reduction had not
  double hidden_seconds = 0;       ///< spent in collectives while backward went on
};

/// What the last transition cost on this rank, for the metrics.
struct TransitionCosts {
  double agreement_seconds = 0;  ///< comparing plans over the ranks, waiting for them included
  double build_seconds = 0;      ///< hooks, buckets and their memory
  bool prepared = false;         ///< memory was there, its pages touched, before the transition
  std::size_t buckets = 0;
  std::int64_t gradient_bytes = 0;  ///< of the new buckets, padding included
};

/// In which order and way a stage's gradients travel: what the last bits of their sums may depend
/// on besides the gradients. A checkpoint keeps it, so that a resumed run adds up as before.
struct ReductionOrder {
  /// Active parameters in the order in which gradients become ready; empty: not observed yet.
  std::vector<std::string> parameters;
  std::vector<std::string> by_rows;  ///< those that travel as the rows that were touched

  friend bool operator==(const ReductionOrder&, const ReductionOrder&) = default;
};

/// Averages the gradients of a stage's active parameters over all ranks.
///
/// One instance serves one stage plan; a transition destroys it and builds the next.
/// All ranks must build it from plans with equal hashes. Not thread-safe: build, use and destroy
/// it on the thread that runs backward.
///
/// The gradient contract: the loss that `backward()` is called on is the mean over the samples of
/// one micro-batch times `micro_batch_samples / share.total`, that is the rank's part of the mean
/// over the global batch. So the reducer sums over ranks, and sums over micro-batches, and scales
/// nothing: weights are by samples, never by ranks.
class GradientReducer {
 public:
  virtual ~GradientReducer() = default;

  /// Gets ready for one optimizer step. Gradients of active parameters are undefined afterwards.
  virtual void begin(SampleShare share) = 0;

  /// Says that the next backward is this rank's last of the step: what it completes may be sent.
  virtual void last_backward() = 0;

  /// Says that ranks wait for each other within backward (synchronised normalisations do), and that
  /// each may reach other parameters there: from now on what is sent beside backward on a GPU is
  /// sent behind it (Note [Sums within backward on a GPU] in
  /// dist/reduction/sending/step_senders.cpp). Outside of backward, on all ranks.
  virtual void send_behind_backward() {}

  /// Says that all of this rank's backwards over its next shard of the global batch have ended, in
  /// the order of shards; one without samples has none. Called by who cuts the batch as the reducer
  /// wants it (dist/reduction/canonical_reducer.h); others sum whatever backward gives them.
  virtual void finish_shard() {}

  /// Numbers that the ranks are to sum besides: where `finish` sums small numbers of its own over
  /// the host by themselves, as it does for a GPU, it sums these with them, in their place. False
  /// where it does not: the caller sums them. Equal on all ranks; right before `finish`, which they
  /// outlive.
  virtual bool take_along(std::span<double> numbers) {
    static_cast<void>(numbers);
    return false;
  }

  /// Returns when every active parameter's `.grad` holds the mean over the global batch (CPU), or
  /// when that is ordered on the current stream (CUDA). A parameter that got a gradient on no
  /// rank keeps an undefined `.grad`; one that got it on some ranks counts as zero on the others.
  /// A rank with an empty share calls begin and finish like the others, without a backward.
  /// Throws `ReductionMismatch` on all ranks if what was reduced is not the active set.
  virtual void finish() = 0;

  /// Of the last finished step; before the first, what each step will move.
  virtual ReductionCounters counters() const = 0;

  /// Whether a step, once some have been finished, asks a GPU for the same in the same places each
  /// time, so that it may be recorded in a CUDA graph and queued again without `begin` and
  /// `finish`. Whatever these do on the host besides finds then what it found while it was
  /// recorded. Equal on all ranks.
  virtual bool repeats_itself() const { return false; }
  /// Gradients come on another stream from now on, the current one: before a step is recorded, and
  /// after.
  virtual void follow_stream() {}
  /// A step that was recorded has been queued on the current stream.
  virtual void queued_again() {}

  /// In force for the step to come; equal on all ranks.
  virtual ReductionOrder order() const { return {}; }
  /// A collective, before the first step: takes an order that a reducer of an equal plan had. Does
  /// nothing where it is empty or does not fit.
  virtual void restore(const ReductionOrder& order) { static_cast<void>(order); }

  /// Where each rank gets a slice of the sums alone and updates it: see sharded_state.h. Null where
  /// every rank has all of them.
  virtual ShardedState* sharded() { return nullptr; }
};

}  // namespace thaw
