#include "core/step/state_moves.h"

#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <cstddef>
#include <utility>
#include <vector>

#include "core/base/stopwatch.h"
#include "core/parallel/communicator.h"
#include "core/step/optimizer.h"

namespace thaw {
namespace {

// Note [State on the move]
// All ranks know who has what and who is to have it, so nobody asks: what leaves a rank is packed
// in an order that follows from the cuts, gathered, and each takes what is its own from where the
// same order says it lies. A gather works on any device, where messages between two ranks do not.
constexpr std::int64_t kBatchBytes = 16 << 20;

/// A rank's slice of state that is whole on every rank.
ParameterState own_of(const ParameterState& whole, const Cuts& cuts, int rank) {
  const auto place = static_cast<std::size_t>(rank);
  ParameterState own{whole.step, {}, cuts};
  for (const at::Tensor& slot : whole.slots) {
    own.slots.push_back(flat(slot, cuts[place], cuts[place + 1]).clone());
  }
  return own;
}

/// State that moves in one gather: of neighbouring parameters, of one element type.
class StateBatch {
 public:
  StateBatch(Optimizer& optimizer, Communicator& communicator)
      : optimizer_(optimizer), communicator_(communicator) {}

  bool takes(const at::Tensor& like) const {
    return members_.empty() || (bytes_ < kBatchBytes && like.scalar_type() == type_);
  }

  void add(const std::string& name, const Cuts& after) {
    const ParameterState& state = optimizer_.states().at(name);
    const at::Tensor& like = state.slots.front();
    type_ = like.scalar_type();
    options_ = like.options();
    Member member{name, after, moves_between(state.cuts, after)};
    for (const SliceMove& move : member.moves) {
      bytes_ += (move.last - move.first) * slots(state) *
                static_cast<std::int64_t>(c10::elementSize(type_));
    }
    members_.push_back(std::move(member));
  }

  /// A collective. Returns the bytes that changed hands.
  std::int64_t go() {
    const auto ranks = static_cast<std::size_t>(communicator_.size());
    std::vector<std::int64_t> leaving(ranks, 0);
    for_moves([&](const ParameterState&, std::size_t, const SliceMove& move) {
      leaving[static_cast<std::size_t>(move.from)] += move.last - move.first;
    });
    Cuts cuts = {0};
    for (const std::int64_t length : leaving) cuts.push_back(cuts.back() + length);
    at::Tensor buffer = at::empty({cuts.back()}, options_);
    const Cuts places(cuts.begin(), cuts.end() - 1);
    const std::size_t self = rank();
    Cuts next = places;
    for_moves([&](const ParameterState& state, std::size_t slot, const SliceMove& move) {
      std::int64_t& place = next[static_cast<std::size_t>(move.from)];
      if (move.from == communicator_.rank()) {
        buffer.narrow(0, place, move.last - move.first)
            .copy_(
                state.slots[slot].narrow(0, move.first - state.cuts[self], move.last - move.first));
      }
      place += move.last - move.first;
    });
    communicator_.start_all_gather(buffer, cuts)->wait_on_stream();
    take(buffer, places);
    return std::exchange(bytes_, 0);
  }

 private:
  struct Member {
    std::string name;
    Cuts after;
    std::vector<SliceMove> moves;
  };

  static std::int64_t slots(const ParameterState& state) {
    return static_cast<std::int64_t>(state.slots.size());
  }
  std::size_t rank() const { return static_cast<std::size_t>(communicator_.rank()); }

  /// In the one order in which all ranks go through what moves.
  template <class Visit>
  void for_moves(const Visit& visit) const {
    for (const Member& member : members_) {
      const ParameterState& state = optimizer_.states().at(member.name);
      for (std::size_t slot = 0; slot < state.slots.size(); ++slot) {
        for (const SliceMove& move : member.moves) visit(state, slot, move);
      }
    }
  }

  /// Puts together what each parameter's slice is to be, of what was here and what came.
  void take(const at::Tensor& buffer, Cuts next) {
    const std::size_t self = rank();
    for (Member& member : std::exchange(members_, {})) {
      const ParameterState& before = optimizer_.states().at(member.name);
      ParameterState after{before.step, {}, member.after};
      const std::int64_t begin = member.after[self], end = member.after[self + 1];
      for (const at::Tensor& old : before.slots) {
        at::Tensor slot = at::empty({end - begin}, options_);
        const std::int64_t first = std::max(begin, before.cuts[self]);
        const std::int64_t last = std::min(end, before.cuts[self + 1]);
        if (first < last) {
          slot.narrow(0, first - begin, last - first)
              .copy_(old.narrow(0, first - before.cuts[self], last - first));
        }
        for (const SliceMove& move : member.moves) {
          std::int64_t& place = next[static_cast<std::size_t>(move.from)];
          const std::int64_t length = move.last - move.first;
          if (move.to == communicator_.rank()) {
            slot.narrow(0, move.first - begin, length).copy_(buffer.narrow(0, place, length));
          }
          place += length;
        }
        after.slots.push_back(std::move(slot));
      }
      optimizer_.replace_state(member.name, std::move(after));
    }
  }

  Optimizer& optimizer_;
  Communicator& communicator_;
  at::ScalarType type_ = at::kFloat;
  at::TensorOptions options_;
  std::vector<Member> members_;
  std::int64_t bytes_ = 0;
};

}  // namespace

StateMoves move_states(Optimizer& optimizer, const std::map<std::string, Cuts>& wanted,
                       Communicator& communicator) {
  const c10::AutoGradMode no_grad(false);
  const Stopwatch watch;
  StateMoves moved;
  StateBatch batch(optimizer, communicator);
  bool any = false;
  for (const auto& [name, cuts] : wanted) {
    const auto found = optimizer.states().find(name);
    if (found == optimizer.states().end() || found->second.cuts == cuts) continue;
    if (found->second.slots.empty() || found->second.cuts.empty()) {  // every rank has it
      optimizer.replace_state(name, own_of(found->second, cuts, communicator.rank()));
      continue;
    }
    if (!batch.takes(found->second.slots.front())) moved.bytes += batch.go();
    batch.add(name, cuts);
    any = true;
  }
  if (any) moved.bytes += batch.go();
  moved.seconds = watch.seconds();
  return moved;
}

}  // namespace thaw
