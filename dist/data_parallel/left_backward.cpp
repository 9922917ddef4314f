#include "dist/data_parallel/left_backward.h"

#include <torch/csrc/autograd/engine.h>
#include <torch/csrc/autograd/function.h>

#include <algorithm>
#include <atomic>
#include <mutex>
#include <unordered_set>
#include <utility>
#include <vector>

namespace thaw {

namespace {

using torch::autograd::Edge;
using torch::autograd::edge_list;
using torch::autograd::Engine;
using torch::autograd::Node;
using torch::autograd::variable_list;

// Note [Backwards that never came]
// Where the loss behind a forward throws in its own backward (a function of the program's, a hook
// on a tensor, a graph that was freed), none of our hooks has run yet, but the other ranks' have:
// they wait. What tells of such a backward is the engine, through which all of them go: ours hands
// each one on to the one that was there, as Python's does, and looks through the graph only where
// an exception comes back. Nothing else is asked of it, and nothing is kept between backwards.

std::atomic<std::uint64_t> started = 0;

struct Found {
  std::uint64_t sequence;  ///< of the node; the engine comes to later ones first
  WatchingHook* hook;
};

void look_at(Node& node, std::vector<Found>& found) {
  for (const auto& hook : node.pre_hooks()) {
    if (auto* watching = dynamic_cast<WatchingHook*>(hook.get())) {
      found.push_back({node.sequence_nr(), watching});
    }
  }
}

/// All hooks behind `roots`, in the order in which a backward would come to them.
std::vector<Found> hooks_behind(const edge_list& roots) {
  std::vector<Found> found;
  std::vector<Node*> waiting;
  std::unordered_set<Node*> seen;
  const auto add = [&](const Edge& edge) {
    if (edge.function && seen.insert(edge.function.get()).second) {
      waiting.push_back(edge.function.get());
    }
  };
  for (const Edge& root : roots) add(root);
  while (!waiting.empty()) {
    Node& node = *waiting.back();
    waiting.pop_back();
    look_at(node, found);
    for (const Edge& edge : node.next_edges()) add(edge);
  }
  // Of parameters (which come first by their numbers) last: an output tells more.
  const auto rank = [](const Found& one) { return one.sequence == UINT64_MAX ? 0 : one.sequence; };
  std::stable_sort(found.begin(), found.end(),
                   [&](const Found& a, const Found& b) { return rank(a) > rank(b); });
  return found;
}

/// Whether gradients were to be left in `.grad` of what somebody watches, if not of all leaves.
bool is_watched(const edge_list& inputs) {
  std::vector<Found> found;
  for (const Edge& edge : inputs) look_at(*edge.function, found);
  return inputs.empty() || !found.empty();
}

class WatchedEngine final : public Engine {
 public:
  explicit WatchedEngine(Engine& engine) : engine_(engine) {}

  variable_list execute(const edge_list& roots, const variable_list& inputs, bool keep_graph,
                        bool create_graph, bool accumulate_grad,
                        const edge_list& outputs) override {
    const std::uint64_t number = ++started;
    try {
      return engine_.execute(roots, inputs, keep_graph, create_graph, accumulate_grad, outputs);
    } catch (...) {
      if (accumulate_grad && is_watched(outputs)) {
        for (const Found& one : hooks_behind(roots)) one.hook->left(number);
      }
      throw;
    }
  }

 private:
  Engine& engine_;
};

Engine& watched_engine() {
  // Made when the engine below is still the default one; never destroyed, as a backward may run
  // while the process ends.
  static auto* const engine = new WatchedEngine(Engine::get_default_engine());
  return *engine;
}

}  // namespace

void watch_backwards() {
  static std::once_flag once;
  std::call_once(once, [] {
    watched_engine();
    torch::autograd::set_default_engine_stub(&watched_engine);
  });
}

std::uint64_t started_backwards() { return started; }

}  // namespace thaw
