#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace thaw {

// Note [One expression]
// A floating-point sum depends on the order of its additions. Where a batch is cut by ranks,
// another number of ranks is another order, and other bits. So here the batch is cut into a fixed
// number of shards, and their gradients are added along one binary tree over the shards: which rank
// computes which node of it changes who sends what to whom, never which two numbers are added.
// Ranks hold neighbouring shards, so most nodes lie on one rank. A node whose two halves lie on
// different ranks is computed where the left half is, so the root is rank 0's.

/// Shards [first, last) of a global batch.
struct ShardRange {
  std::int64_t first = 0;
  std::int64_t last = 0;

  std::int64_t size() const { return last - first; }
  friend bool operator==(const ShardRange&, const ShardRange&) = default;
};

/// The shards of every global batch that a rank computes: neighbours, the first ranks one more
/// where they do not divide.
ShardRange shards_of_rank(std::int64_t shards, int rank, int ranks);

/// One thing that a rank does with the partial sums that it holds, each in a slot.
struct SumStep {
  enum class Kind {
    kStoreShard,  ///< the next shard's gradients are what the slot holds from now on
    kAddShard,    ///< the next shard's gradients are added to what the slot holds
    kAdd,         ///< slot `other` is added to the slot, and is free
    kSend,        ///< the slot goes to rank `other`
    kReceive,     ///< what rank `other` sends is added to the slot
  };
  Kind kind;
  std::size_t slot = 0;
  int other = -1;

  friend bool operator==(const SumStep&, const SumStep&) = default;
};

/// What one rank does in the sum over all shards. The result is slot 0 of rank 0.
struct SumPlan {
  /// While shards are computed: kStoreShard or kAddShard for each of this rank's, in their order,
  /// followed by the kAdd for which it was waited.
  std::vector<SumStep> computing;
  /// When all of them are: kAdd, kSend, kReceive, in an order in which sends that block until they
  /// are received come to an end. Nobody waits for a rank that still computes before that.
  std::vector<SumStep> exchange;
  /// That are needed at once: about the binary logarithm of the shards.
  std::size_t slots = 0;
  /// What holds, after `computing`, the parts of the tree that are this rank's alone, in the order
  /// of their shards.
  std::vector<std::size_t> parts;
};

/// The sum over all shards as one expression of what the ranks have computed alone, in postfix
/// order: the same for whoever evaluates it.
struct SumExpression {
  struct Part {
    int rank = 0;
    std::size_t slot = 0;  ///< of that rank
    friend bool operator==(const Part&, const Part&) = default;
  };
  std::vector<Part> parts;
  /// Not negative: that part comes on top; kAdd: the one below the top and the top, added in this
  /// order, take their place.
  std::vector<int> steps;
  static constexpr int kAdd = -1;
};

/// The part of `rank` in the sum over `shards` (at least as many as ranks) along a tree that
/// depends on their number alone. Pure. Throws std::invalid_argument for fewer shards than ranks.
SumPlan plan_sum(std::int64_t shards, int rank, int ranks);

/// The sum that `plan_sum` comes to, as an expression. Pure; throws likewise.
SumExpression sum_expression(std::int64_t shards, int ranks);

}  // namespace thaw
