#include "dist/reduction/sharding/rank_memory.h"

#include <algorithm>
#include <functional>
#include <limits>
#include <map>
#include <numeric>

#include "core/parallel/slices.h"
#include "core/parallel/sum_tree.h"
#include "dist/communicator/mpi/piece_bytes.h"
#include "dist/reduction/sharding/slice_plan.h"

namespace thaw {

namespace {

std::int64_t element_bytes(ElementType type) { return static_cast<std::int64_t>(size_of(type)); }

std::int64_t bytes_of(const BucketEntry& entry) {
  return std::accumulate(entry.shape.begin(), entry.shape.end(), element_bytes(entry.type),
                         std::multiplies<>());
}

/// Bytes of each rank's slice of a parameter's state, by the parameter's name.
using StateBytes = std::map<std::string, std::vector<std::int64_t>>;

/// Gradients of one stage on one rank.
class StageGradients {
 public:
  StageGradients(const std::vector<BucketEntry>& active, const MemoryQuestion& question)
      : active_(active), question_(question) {}

  /// Fills in what `memory` says of gradients.
  void count(int rank, RankMemory& memory) const {
    std::int64_t all = 0, largest = 0, largest_by_rows = 0;
    for (const BucketEntry& entry : active_) {
      all += bytes_of(entry);
      largest = std::max(largest, bytes_of(entry));
      if (travels_by_rows(entry)) largest_by_rows = std::max(largest_by_rows, bytes_of(entry));
    }
    memory.passing = largest;  // as autograd hands it over
    if (question_.shards > 0) {
      const SumPlan plan = plan_sum(question_.shards, rank, question_.ranks);
      memory.gradients = static_cast<std::int64_t>(plan.slots) * map().payload_bytes();
      memory.gradients += static_cast<std::int64_t>(plan.slots) * map().padding_bytes();
    } else if (question_.ranks == 1) {
      memory.gradients = all;
    } else if (question_.sharding != Sharding::kGradients) {
      memory.gradients = map().payload_bytes() + map().padding_bytes();
      if (sharded()) memory.gradients += slices_by_rows(rank);
    } else {
      memory.gradients = slices().bytes_of(rank);
      memory.passing += kSlabs * longest_slab() + largest_by_rows;
    }
  }

  bool sharded() const { return question_.sharding != Sharding::kNone && question_.ranks > 1; }
  SlicePlan slices() const { return plan_slices(map(), entries(), question_.ranks); }
  std::int64_t longest_slab() const {
    const BucketMap planned = map();
    std::int64_t longest = 0;
    for (const Bucket& bucket : planned.buckets()) {
      longest = std::max(longest, bucket.length * element_bytes(bucket.type));
    }
    return longest;
  }

 private:
  /// That are filled, summed and given back at a time, with "gradients".
  static constexpr std::int64_t kSlabs = 3;

  bool travels_by_rows(const BucketEntry& entry) const {
    return question_.shards == 0 && question_.buckets.by_rows && entry.by_rows;
  }
  std::vector<BucketEntry> entries() const {
    std::vector<BucketEntry> entries = active_;
    for (BucketEntry& entry : entries) entry.by_rows = travels_by_rows(entry);
    return entries;
  }
  BucketMap map() const {
    BucketOptions options = question_.buckets;
    if (question_.shards > 0) options.cap_bytes = std::numeric_limits<std::int64_t>::max();
    return plan_buckets(entries(), options);
  }
  std::int64_t slices_by_rows(int rank) const {
    const SlicePlan plan = slices();
    std::int64_t bytes = 0;
    for (std::size_t i = 0; i < active_.size(); ++i) {
      if (!travels_by_rows(active_[i])) continue;
      const Cuts& cuts = plan.parameter(i);
      const auto own = static_cast<std::size_t>(rank);
      bytes += (cuts[own + 1] - cuts[own]) * element_bytes(active_[i].type);
    }
    return bytes;
  }
  const std::vector<BucketEntry>& active_;
  const MemoryQuestion& question_;
};

// Note [What MPI takes]
// Open MPI gives each rank a segment of 4 MiB, through which the others of its host read what it
// sends (btl_vader_segment_size), and every one of them maps it: pages that were touched are
// resident on both sides. A sum works in a copy of the piece that travels; a sum to slices has a
// buffer for what each other rank sends. That is what the mechanisms come to at most; with ranks of
// few parameters the library's own memory shows, which was measured to 12 MiB at two ranks (Open
// MPI 4.1).
constexpr std::int64_t kMpiOwn = 1 << 20;
constexpr std::int64_t kMpiSegment = 4 << 20;
constexpr std::int64_t kMpiAtLeast = 12 << 20;

/// State goes to its owners where it is sharded, and is there once on each rank where it is not.
void move_state(const std::vector<BucketEntry>& active, const StageGradients& gradients,
                const MemoryQuestion& question, StateBytes& state) {
  const auto ranks = static_cast<std::size_t>(question.ranks);
  if (!gradients.sharded()) {
    for (const BucketEntry& entry : active) state[entry.name].assign(ranks, bytes_of(entry));
    return;
  }
  const SlicePlan slices = gradients.slices();
  for (std::size_t i = 0; i < active.size(); ++i) {
    std::vector<std::int64_t>& bytes = state[active[i].name];
    bytes.clear();
    const Cuts& cuts = slices.parameter(i);
    for (std::size_t rank = 0; rank < ranks; ++rank) {
      bytes.push_back((cuts[rank + 1] - cuts[rank]) * element_bytes(active[i].type));
    }
  }
}

}  // namespace

std::int64_t message_bytes(const std::vector<BucketEntry>& active, const MemoryQuestion& question,
                           int on_host) {
  if (question.ranks == 1) return 0;
  const StageGradients gradients(active, question);
  const std::int64_t longest = active.empty() ? 0 : gradients.longest_slab();
  std::int64_t bytes = kMpiOwn + on_host * kMpiSegment + std::min(longest, kSumPieceBytes);
  if (gradients.sharded()) {
    const std::int64_t slice = (longest - 1) / question.ranks + 1;
    bytes += (question.ranks - 1) * std::min(slice, kSlicePieceBytes);
  }
  return std::max(bytes, kMpiAtLeast);
}

std::vector<std::vector<RankMemory>> memory_of_stages(
    std::span<const std::vector<BucketEntry>> stages, const MemoryQuestion& question) {
  std::vector<std::vector<RankMemory>> result;
  StateBytes state;
  for (const std::vector<BucketEntry>& active : stages) {
    const StageGradients gradients(active, question);
    if (!question.state_is_kept) state.clear();
    move_state(active, gradients, question, state);
    std::vector<RankMemory>& ranks = result.emplace_back();
    for (int rank = 0; rank < question.ranks; ++rank) {
      RankMemory& memory = ranks.emplace_back();
      memory.weights = question.weights;
      for (const auto& [name, bytes] : state) {
        memory.state += question.slots * bytes[static_cast<std::size_t>(rank)] +
                        static_cast<std::int64_t>(sizeof(float));  // and its count
      }
      if (!active.empty()) gradients.count(rank, memory);
    }
  }
  return result;
}

}  // namespace thaw
