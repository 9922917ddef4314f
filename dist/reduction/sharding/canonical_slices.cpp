#include "dist/reduction/sharding/canonical_slices.h"

#include <ATen/ops/empty.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <utility>

#include "core/parallel/sharded_state.h"
#include "core/parallel/step_monitor.h"

namespace thaw {

namespace {

/// Bytes of a message: its buffer stays in cache (see Note [Pieces] in mpi_sum.cpp).
constexpr std::int64_t kPieceBytes = 1 << 20;

/// Calls `visit(owner, block, first, last)` for each piece of each rank's slice of each slab, in
/// the one order in which all ranks go through them: so sends that block come to an end.
template <class Visit>
void for_pieces(const BucketMap& layout, const SlicePlan& plan, const Visit& visit) {
  for (std::size_t block = 0; block < layout.buckets().size(); ++block) {
    if (layout.buckets()[block].slots.empty()) continue;
    const Cuts& cuts = plan.bucket(block);
    const std::int64_t step =
        kPieceBytes / static_cast<std::int64_t>(size_of(layout.buckets()[block].type));
    for (int owner = 0; owner < plan.ranks(); ++owner) {
      const std::int64_t end = cuts[static_cast<std::size_t>(owner) + 1];
      for (std::int64_t at = cuts[static_cast<std::size_t>(owner)]; at < end; at += step) {
        visit(owner, block, at, std::min(at + step, end));
      }
    }
  }
}

/// The slab of a block: the counts come first.
at::Tensor slab_of(PartialSum& sum, std::size_t block) { return sum.blocks()[block + 1]; }

}  // namespace

CanonicalSlices::CanonicalSlices(Communicator& communicator, const BucketMap& layout,
                                 SlicePlan plan, std::span<const NamedTensor> active,
                                 std::int64_t shards, std::vector<PartialSum>& sums,
                                 StepMonitor* monitor)
    : communicator_(communicator),
      layout_(layout),
      plan_(std::move(plan)),
      active_(active.begin(), active.end()),
      expression_(sum_expression(shards, communicator.size())),
      sums_(sums),
      monitor_(monitor),
      slices_(layout_, plan_, communicator.rank(), active_),
      buffers_(expression_.parts.size()) {}

at::Tensor CanonicalSlices::part_of(std::size_t part, std::size_t block, std::int64_t first,
                                    std::int64_t last) const {
  return slab_of(sums_[expression_.parts[part].slot], block).narrow(0, first, last - first);
}

void CanonicalSlices::sum_piece(int owner, std::size_t block, std::int64_t first,
                                std::int64_t last) {
  const int self = communicator_.rank();
  std::vector<at::Tensor> parts(expression_.parts.size());
  for (std::size_t i = 0; i < parts.size(); ++i) {
    const int holder = expression_.parts[i].rank;
    if (holder == self) {
      parts[i] = part_of(i, block, first, last);
      if (owner != self) communicator_.send(parts[i], owner);
    } else if (owner == self) {
      const at::Tensor slab = slab_of(sums_.front(), block);
      at::Tensor& buffer = buffers_[i];
      if (!buffer.defined() || buffer.scalar_type() != slab.scalar_type()) {
        buffer = at::empty({kPieceBytes / static_cast<std::int64_t>(slab.element_size())},
                           slab.options());
      }
      parts[i] = buffer.narrow(0, 0, last - first);
      communicator_.receive(parts[i], holder);
    }
  }
  if (monitor_ != nullptr) monitor_->tick();
  if (owner != self) return;
  std::vector<at::Tensor> stack;
  for (const int step : expression_.steps) {
    if (step != SumExpression::kAdd) {
      stack.push_back(parts[static_cast<std::size_t>(step)]);
      continue;
    }
    const at::Tensor right = stack.back();
    stack.pop_back();
    stack.back().add_(right);
  }
  const at::Tensor result = slab_of(sums_.front(), block).narrow(0, first, last - first);
  if (result.data_ptr() != stack.back().data_ptr()) result.copy_(stack.back());
}

void CanonicalSlices::sum_counts() {
  const std::span<double> total = sums_.front().counts();
  std::vector<double> counts(total.size(), 0.0);
  for (const SumExpression::Part& part : expression_.parts) {
    if (part.rank != communicator_.rank()) continue;
    const std::span<double> own = sums_[part.slot].counts();
    for (std::size_t i = 0; i < counts.size(); ++i) counts[i] += own[i];
  }
  communicator_.all_reduce(counts);  // whole numbers: exact in any order
  std::ranges::copy(counts, total.begin());
}

void CanonicalSlices::exchange() {
  const c10::AutoGradMode no_grad(false);
  together_ = false;
  sum_counts();
  for_pieces(layout_, plan_,
             [this](int owner, std::size_t block, std::int64_t first, std::int64_t last) {
               sum_piece(owner, block, first, last);
             });
}

void CanonicalSlices::hand_out() {
  const auto self = static_cast<std::size_t>(communicator_.rank());
  for (std::size_t i = 0; i < active_.size(); ++i) {
    if (sums_.front().counts()[i] == 0) continue;
    const std::size_t block = layout_.bucket_of(i);
    const Cuts& cuts = plan_.bucket(block);
    slices_.hand_out(
        i, slab_of(sums_.front(), block).narrow(0, cuts[self], cuts[self + 1] - cuts[self]));
  }
}

void CanonicalSlices::bring_together() {
  if (std::exchange(together_, true)) return;
  const int self = communicator_.rank();
  for_pieces(layout_, plan_,
             [&](int owner, std::size_t block, std::int64_t first, std::int64_t last) {
               if (owner == 0 || (self != 0 && self != owner)) return;
               at::Tensor piece = slab_of(sums_.front(), block).narrow(0, first, last - first);
               if (self == owner) communicator_.send(piece, 0);
               if (self == 0) communicator_.receive(piece, owner);
             });
}

at::Tensor CanonicalSlices::gradient_norm(std::span<const std::size_t> parameters) {
  bring_together();
  if (communicator_.rank() != 0) return {};
  std::vector<at::Tensor> gradients;
  for (const std::size_t parameter : parameters) {
    if (sums_.front().counts()[parameter] == 0) continue;
    gradients.push_back(sums_.front().gradient(parameter));
  }
  return joint_norm(gradients);
}

bool CanonicalSlices::start_sharing_updates() {
  slices_.drop_gradients();
  for (std::size_t block = 0; block < layout_.buckets().size(); ++block) {
    if (layout_.buckets()[block].slots.empty()) continue;
    const at::Tensor slab = slab_of(sums_.front(), block).narrow(0, 0, plan_.bucket(block).back());
    slices_.share(block, slab, communicator_);
  }
  return false;
}

}  // namespace thaw
