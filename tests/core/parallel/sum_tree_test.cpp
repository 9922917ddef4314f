#include "core/parallel/sum_tree.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace thaw {
namespace {

using Kind = SumStep::Kind;

/// What the sum over [first, last) is to be, with its brackets.
std::string expression(std::int64_t first, std::int64_t last) {
  if (last - first == 1) return std::to_string(first);
  const std::int64_t middle = first + (last - first + 1) / 2;
  return "(" + expression(first, middle) + "+" + expression(middle, last) + ")";
}

/// Carries out the plans of all ranks on expressions, with sends that block until they are
/// received.
class Ranks {
 public:
  Ranks(std::int64_t shards, int ranks) : shards_(shards) {
    for (int rank = 0; rank < ranks; ++rank) {
      plans_.push_back(plan_sum(shards, rank, ranks));
      slots_.emplace_back(plans_.back().slots);
      compute(rank, ranks);
    }
    next_.assign(plans_.size(), 0);
  }

  /// False where nobody can go on before all is done.
  bool exchange() {
    bool moved = true;
    while (moved) {
      moved = false;
      for (std::size_t rank = 0; rank < plans_.size(); ++rank) {
        moved = step(static_cast<int>(rank)) || moved;
      }
    }
    for (std::size_t rank = 0; rank < plans_.size(); ++rank) {
      if (next_[rank] < plans_[rank].exchange.size()) return false;
    }
    return true;
  }

  std::string result() const { return slots_[0][0].value_or("nothing"); }
  std::size_t most_slots() const {
    std::size_t most = 0;
    for (const SumPlan& plan : plans_) most = std::max(most, plan.slots);
    return most;
  }

 private:
  using Slots = std::vector<std::optional<std::string>>;

  /// Takes what a slot holds: it is free then.
  static std::string take(Slots& slots, std::size_t slot) {
    return std::exchange(slots.at(slot), std::nullopt).value_or("nothing");
  }
  static void add(Slots& slots, std::size_t slot, const std::string& other) {
    ASSERT_TRUE(slots.at(slot).has_value());
    slots[slot] = "(" + *slots[slot] + "+" + other + ")";
  }

  void compute(int rank, int ranks) {
    Slots& slots = slots_.back();
    const ShardRange own = shards_of_rank(shards_, rank, ranks);
    std::int64_t shard = own.first;
    for (const SumStep& step : plans_.back().computing) {
      if (step.kind == Kind::kStoreShard) {
        ASSERT_FALSE(slots.at(step.slot).has_value());
        slots[step.slot] = std::to_string(shard++);
      } else if (step.kind == Kind::kAddShard) {
        add(slots, step.slot, std::to_string(shard++));
      } else {
        ASSERT_EQ(step.kind, Kind::kAdd);
        add(slots, step.slot, take(slots, static_cast<std::size_t>(step.other)));
      }
    }
    EXPECT_EQ(shard, own.last);
  }

  const SumStep* next(int rank) const {
    const auto index = static_cast<std::size_t>(rank);
    const std::vector<SumStep>& steps = plans_[index].exchange;
    return next_[index] < steps.size() ? &steps[next_[index]] : nullptr;
  }

  /// A receive goes on together with its send.
  bool step(int rank) {
    const SumStep* step = next(rank);
    if (step == nullptr || step->kind == Kind::kSend) return false;
    Slots& slots = slots_[static_cast<std::size_t>(rank)];
    if (step->kind == Kind::kAdd) {
      add(slots, step->slot, take(slots, static_cast<std::size_t>(step->other)));
    } else {
      const SumStep* send = next(step->other);
      if (send == nullptr || send->kind != Kind::kSend || send->other != rank) return false;
      const auto sender = static_cast<std::size_t>(step->other);
      add(slots, step->slot, take(slots_[sender], send->slot));
      ++next_[sender];
    }
    ++next_[static_cast<std::size_t>(rank)];
    return true;
  }

  std::int64_t shards_;
  std::vector<SumPlan> plans_;
  std::vector<Slots> slots_;
  std::vector<std::size_t> next_;  ///< of the exchange, by rank
};

TEST(SumTree, IsOneExpressionAtAnyNumberOfRanks) {
  for (std::int64_t shards = 1; shards <= 33; ++shards) {
    for (int ranks = 1; ranks <= shards; ++ranks) {
      Ranks job(shards, ranks);
      EXPECT_TRUE(job.exchange()) << shards << " shards stop half way on " << ranks << " ranks";
      EXPECT_EQ(job.result(), expression(0, shards)) << ranks << " ranks";
    }
  }
}

TEST(SumTree, HoldsFewSumsAtATime) {
  EXPECT_EQ(Ranks(1, 1).most_slots(), 1U);
  EXPECT_EQ(Ranks(2, 1).most_slots(), 1U);
  EXPECT_EQ(Ranks(8, 1).most_slots(), 3U);
  EXPECT_EQ(Ranks(8, 4).most_slots(), 1U);
  EXPECT_EQ(Ranks(1024, 1).most_slots(), 10U);
  for (int ranks = 1; ranks <= 33; ++ranks) EXPECT_LE(Ranks(33, ranks).most_slots(), 7U) << ranks;
}

TEST(SumTree, RanksHoldNeighbouringShards) {
  EXPECT_EQ(shards_of_rank(8, 0, 3), (ShardRange{0, 3}));
  EXPECT_EQ(shards_of_rank(8, 1, 3), (ShardRange{3, 6}));
  EXPECT_EQ(shards_of_rank(8, 2, 3), (ShardRange{6, 8}));
}

TEST(SumTree, EveryRankNeedsAShard) {
  EXPECT_THROW(plan_sum(3, 0, 4), std::invalid_argument);
  EXPECT_THROW(plan_sum(3, 3, 3), std::invalid_argument);
}

}  // namespace
}  // namespace thaw
