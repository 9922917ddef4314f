// What the engine adds to a step, and how that grows with ranks and active groups:
//
//   build/cluster/benchmarks/engine_cost               one process, nothing travels
//   mpirun -n N build/cluster/benchmarks/engine_cost   and what travelling adds
//
// Tensors of MiniLM's sizes, each a group of its own, thawed from the output down. Their backward
// is as short as it can be (each gradient is written once), so that what is added stands out; it
// does not depend on what else a backward computes. `bare`: the same backward, gradients left where
// autograd puts them. `copy`: of those gradients into memory of the engine's kind, a pass that it
// cannot do without. All take turns; medians, of rank 0. `us/bucket`: added, without the copy.
#include <ATen/ops/full.h>
#include <ATen/ops/mul.h>
#include <ATen/ops/zeros_like.h>
#include <c10/core/GradMode.h>
#include <fmt/format.h>

#include <memory>
#include <string>
#include <vector>

#include "core/base/numbers.h"
#include "core/base/stopwatch.h"
#include "core/base/system.h"
#include "dist/communicator/absent_peers.h"
#include "dist/communicator/mpi/mpi_session.h"
#include "dist/data_parallel/data_parallel.h"

namespace thaw {
namespace {

constexpr int kRounds = 61;
constexpr int kWarmUp = 20;  // both ways of overlapping have been tried by then

std::vector<std::int64_t> minilm_sizes() {
  constexpr std::int64_t kWidth = 384, kInner = 1536, kVocabulary = 30522, kPositions = 512;
  std::vector<std::int64_t> sizes = {kVocabulary * kWidth, kPositions * kWidth, 2 * kWidth, kWidth,
                                     kWidth};
  for (int layer = 0; layer < 6; ++layer) {
    for (int projection = 0; projection < 4; ++projection) {
      sizes.insert(sizes.end(), {kWidth * kWidth, kWidth});
    }
    sizes.insert(sizes.end(), {kWidth, kWidth, kInner * kWidth, kInner, kWidth * kInner, kWidth,
                               kWidth, kWidth});
  }
  sizes.insert(sizes.end(), {77 * kWidth, 77});
  return sizes;
}

std::vector<NamedTensor> parameters() {
  std::vector<NamedTensor> made;
  for (const std::int64_t size : minilm_sizes()) {
    made.push_back({fmt::format("p{}", made.size()), at::full({size}, 0.5)});
  }
  return made;
}

void backward(const std::vector<at::Tensor>& active) {
  at::Tensor loss;
  for (const at::Tensor& tensor : active) {
    const at::Tensor part = tensor.mul(2).sum();
    loss = loss.defined() ? loss.add(part) : part;
  }
  loss.backward();
}

class Measurement {
 public:
  explicit Measurement(Communicator& world)
      : world_(world), engine_(world, parameters()), bare_(parameters()) {}

  void of_last_groups(std::size_t groups) {
    const std::vector<at::Tensor> alone = thaw_last(groups);
    const std::vector<at::Tensor> active = engine_.active_parameters();
    const TransitionCosts costs = engine_.transition_costs();
    std::vector<at::Tensor> slab;
    for (const at::Tensor& tensor : alone) slab.push_back(at::zeros_like(tensor));
    std::vector<double> bare, copy, engine, exposed;
    for (int round = 0; round < kWarmUp + kRounds; ++round) {
      if (round == kWarmUp) bare.clear(), copy.clear(), engine.clear(), exposed.clear();
      bare.push_back(seconds_of_bare(alone));
      copy.push_back(seconds_of_copy(alone, slab));
      engine.push_back(seconds_of_engine(active));
      exposed.push_back(engine_.counters().exposed_seconds);
    }
    if (world_.rank() == 0) {
      const double transition = costs.agreement_seconds + costs.build_seconds;
      print(active, {median(bare), median(copy), median(engine), median(exposed), transition});
    }
  }
  std::size_t groups() const { return bare_.size(); }

 private:
  std::vector<at::Tensor> thaw_last(std::size_t groups) {
    std::vector<std::string> names;
    std::vector<at::Tensor> alone;
    for (std::size_t i = bare_.size() - groups; i < bare_.size(); ++i) {
      names.push_back(bare_[i].name);
      alone.push_back(bare_[i].tensor.set_requires_grad(true));
    }
    engine_.activate(names);
    return alone;
  }

  double seconds_of_bare(const std::vector<at::Tensor>& active) {
    world_.barrier();
    const Stopwatch watch;
    for (const at::Tensor& tensor : active) tensor.mutable_grad().reset();
    backward(active);
    return watch.seconds();
  }

  double seconds_of_copy(const std::vector<at::Tensor>& active, std::vector<at::Tensor>& slab) {
    const c10::AutoGradMode no_grad(false);
    const Stopwatch watch;
    for (std::size_t i = 0; i < active.size(); ++i) slab[i].copy_(active[i].grad());
    return watch.seconds();
  }

  double seconds_of_engine(const std::vector<at::Tensor>& active) {
    world_.barrier();
    const Stopwatch watch;
    for (const at::Tensor& tensor : active) tensor.mutable_grad().reset();
    engine_.announce(1);
    backward(active);
    return watch.seconds();
  }

  static std::int64_t bytes(const std::vector<at::Tensor>& active) {
    std::int64_t sum = 0;
    for (const at::Tensor& tensor : active) sum += static_cast<std::int64_t>(tensor.nbytes());
    return sum;
  }

  struct Seconds {
    double bare, copy, engine, exposed, transition;
  };

  void print(const std::vector<at::Tensor>& active, const Seconds& of) const {
    const auto buckets = static_cast<double>(engine_.counters().collectives);
    const double added = of.engine - of.bare;
    fmt::print(
        "| {:6} | {:5.1f} | {:7} | {:7.2f} | {:7.2f} | {:7.2f} | {:7.2f} | {:9.1f} | {:7.2f} | "
        "{:10.2f} |\n",
        active.size(), static_cast<double>(bytes(active)) / (1 << 20), buckets, 1e3 * of.bare,
        1e3 * of.copy, 1e3 * of.engine, 1e3 * added, 1e6 * (added - of.copy) / buckets,
        1e3 * of.exposed, 1e3 * of.transition);
  }

  Communicator& world_;
  DataParallel engine_;
  std::vector<NamedTensor> bare_;
};

void measure(Communicator& world, const std::string& title) {
  Measurement measurement(world);
  if (world.rank() == 0) {
    fmt::print(
        "{}, medians of {} steps, milliseconds\n\n"
        "| groups |   MiB | buckets |    bare |    copy |  engine |   added | us/bucket | exposed "
        "| "
        "transition |\n"
        "| -----: | ----: | ------: | ------: | ------: | ------: | ------: | --------: | ------: "
        "| "
        "---------: |\n",
        title, kRounds);
  }
  for (const std::size_t groups :
       {std::size_t{1}, std::size_t{10}, std::size_t{50}, measurement.groups()}) {
    measurement.of_last_groups(groups);
  }
}

}  // namespace
}  // namespace thaw

int main() {
  thaw::keep_freed_memory();
  return thaw::MpiSession::run([](thaw::Communicator& world) {
    if (world.size() == 1) {
      thaw::AbsentPeers peer(2);
      thaw::measure(peer, "1 process, nothing travels");
    } else {
      thaw::measure(world, fmt::format("{} ranks", world.size()));
    }
    return thaw::ExitStatus::kDone;
  });
}
