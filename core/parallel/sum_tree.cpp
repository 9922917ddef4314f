#include "core/parallel/sum_tree.h"

#include <algorithm>
#include <optional>
#include <stdexcept>
#include <utility>

#include "core/base/numbers.h"

namespace thaw {

namespace {

using Kind = SumStep::Kind;

std::int64_t middle_of(std::int64_t first, std::int64_t last) {
  return first + (last - first + 1) / 2;
}

/// Walks the tree in post-order and notes this rank's steps. All ranks walk alike, so the steps
/// that two ranks take together stand in the same order on both: that is why blocking sends come to
/// an end.
class Planner {
 public:
  Planner(std::int64_t shards, int rank, int ranks) : rank_(rank) {
    for (int each = 0; each < ranks; ++each) parts_.push_back(shards_of_rank(shards, each, ranks));
    own_ = parts_[static_cast<std::size_t>(rank)];
  }

  /// The slot that holds the sum over [first, last), where this rank is the one that has it.
  std::optional<std::size_t> sum(std::int64_t first, std::int64_t last) {
    if (last <= own_.first || first >= own_.last) return std::nullopt;
    if (first >= own_.first && last <= own_.last) {
      return plan_.parts.emplace_back(sum_of_own(first, last));
    }
    const std::int64_t middle = middle_of(first, last);
    const std::optional<std::size_t> left = sum(first, middle);
    const std::optional<std::size_t> right = sum(middle, last);
    const int left_rank = rank_of(first);
    const int right_rank = rank_of(middle);
    // Slots are not free again here: the exchange comes after all that is noted for computing.
    if (left && right) {
      plan_.exchange.push_back({Kind::kAdd, *left, static_cast<int>(*right)});
    } else if (left && right_rank != rank_) {
      plan_.exchange.push_back({Kind::kReceive, *left, right_rank});
    } else if (right && left_rank != rank_) {
      plan_.exchange.push_back({Kind::kSend, *right, left_rank});
    }
    return left;
  }

  SumPlan take() { return std::move(plan_); }

 private:
  std::size_t sum_of_own(std::int64_t first, std::int64_t last) {
    if (last - first == 1) {
      const std::size_t slot = take_slot();
      plan_.computing.push_back({Kind::kStoreShard, slot});
      return slot;
    }
    const std::int64_t middle = middle_of(first, last);
    const std::size_t left = sum_of_own(first, middle);
    if (last - middle == 1) {
      plan_.computing.push_back({Kind::kAddShard, left});
      return left;
    }
    const std::size_t right = sum_of_own(middle, last);
    plan_.computing.push_back({Kind::kAdd, left, static_cast<int>(right)});
    free_.push_back(right);
    return left;
  }

  std::size_t take_slot() {
    if (free_.empty()) return plan_.slots++;
    const std::size_t slot = free_.back();
    free_.pop_back();
    return slot;
  }

  int rank_of(std::int64_t shard) const {
    const auto part = std::find_if(parts_.begin(), parts_.end(),
                                   [&](const ShardRange& each) { return shard < each.last; });
    return static_cast<int>(part - parts_.begin());
  }

  int rank_;
  std::vector<ShardRange> parts_;  ///< by rank
  ShardRange own_;
  std::vector<std::size_t> free_;
  SumPlan plan_;
};

/// Writes down the tree's part over [first, last).
class ExpressionWriter {
 public:
  ExpressionWriter(std::int64_t shards, int ranks) {
    for (int rank = 0; rank < ranks; ++rank) {
      own_.push_back(shards_of_rank(shards, rank, ranks));
      slots_.push_back(plan_sum(shards, rank, ranks).parts);
    }
    next_.resize(slots_.size(), 0);
  }

  void write(std::int64_t first, std::int64_t last) {
    for (std::size_t rank = 0; rank < own_.size(); ++rank) {
      if (first < own_[rank].first || last > own_[rank].last) continue;
      expression_.steps.push_back(static_cast<int>(expression_.parts.size()));
      expression_.parts.push_back({static_cast<int>(rank), slots_[rank][next_[rank]++]});
      return;
    }
    const std::int64_t middle = middle_of(first, last);
    write(first, middle);
    write(middle, last);
    expression_.steps.push_back(SumExpression::kAdd);
  }

  SumExpression take() { return std::move(expression_); }

 private:
  std::vector<ShardRange> own_;                  ///< by rank
  std::vector<std::vector<std::size_t>> slots_;  ///< of its parts
  std::vector<std::size_t> next_;
  SumExpression expression_;
};

}  // namespace

ShardRange shards_of_rank(std::int64_t shards, int rank, int ranks) {
  const auto [first, last] = balanced_split(shards, rank, ranks);
  return {first, last};
}

SumPlan plan_sum(std::int64_t shards, int rank, int ranks) {
  if (ranks < 1 || rank < 0 || rank >= ranks || shards < ranks) {
    throw std::invalid_argument("plan_sum: every rank needs a shard");
  }
  Planner planner(shards, rank, ranks);
  planner.sum(0, shards);
  return planner.take();
}

SumExpression sum_expression(std::int64_t shards, int ranks) {
  ExpressionWriter writer(shards, ranks);
  writer.write(0, shards);
  return writer.take();
}

}  // namespace thaw
