// A loop of somebody's own under a JobWatch that goes wrong in its fifth step, in the way that its
// first argument names, for watched_loop_test.cpp. The second argument is the deadline in seconds.
// After "default-" the watch is the one that a DataParallel has of its own.

#include <ATen/ops/add.h>
#include <ATen/ops/ones.h>

#include <cstdlib>
#include <optional>
#include <stdexcept>
#include <string>

#include "dist/communicator/mpi/mpi_session.h"
#include "dist/coordination/job_watch.h"
#include "dist/data_parallel/data_parallel.h"

namespace thaw {
namespace {

/// Steps that are left in mid-backward, on all ranks or on one; sums are under way.
ExitStatus leave_steps(Communicator& world) {
  const at::Tensor low = at::ones({4}).set_requires_grad(true);
  const at::Tensor high = at::ones({4}).set_requires_grad(true);
  const ReducerOptions options = {{.cap_bytes = 8, .first_cap_bytes = 8}, Overlap::kOn};
  int left = 0;
  for (int round = 0; round < 40; ++round) {
    DataParallel parallel(world, {{"low", low}, {"high", high}}, {}, options);
    for (int step = 0; step < 4; ++step) {
      const at::Tensor middle = low.mul(2);
      if (step == 2 && (round % 2 == 0 || world.rank() == 1)) {
        middle.register_hook(
            [](const at::Tensor&) -> at::Tensor { throw std::runtime_error("planted"); });
      }
      const at::Tensor first = middle.sum();  // made first: backward comes to it last
      parallel.announce(1);
      try {
        at::add(first, high.sum()).backward();
      } catch (const std::exception&) {
        ++left;
      }
    }
  }
  return left == 40 ? ExitStatus::kDone : ExitStatus::kFailed;
}

ExitStatus train(std::string way, double deadline, Communicator& world) {
  if (way == "left") return leave_steps(world);
  std::optional<JobWatch> watch;
  ReducerOptions options;
  if (way.starts_with("default-")) {
    way = way.substr(8);
    options.loop.deadline = deadline;
  } else {
    watch.emplace(world);
    watch->start({.hang = deadline, .transition = deadline});
    options.monitor = &watch->monitor();
  }
  const at::Tensor low = at::ones({4}).set_requires_grad(true);
  const at::Tensor high = at::ones({4}).set_requires_grad(true);
  DataParallel parallel(watch ? watch->communicator() : world, {{"low", low}, {"high", high}}, {},
                        options);
  parallel.activate({"high"});
  for (int step = 1; step <= 10; ++step) {
    if (step == 3) parallel.activate({"low", "high"});
    const bool disturbed = step == 5 && world.rank() == 1;
    if (disturbed && way == "loop") {
      for (volatile bool endless = true; endless;) {
      }
    }
    if (disturbed && way == "skip") break;
    // A rank without samples begins its step in finish, the others with their first gradient.
    const bool empty = step % 2 == 0 && world.rank() == world.size() - 1 && world.size() > 1;
    if (!empty) at::add(low, high).sum().backward();
    parallel.finish(empty ? 0 : 2);
  }
  if (watch) watch->finish();
  return ExitStatus::kDone;
}

}  // namespace
}  // namespace thaw

int main(int count, char** arguments) {
  if (count != 3) return 2;
  return thaw::MpiSession::run([&](thaw::Communicator& world) {
    return thaw::train(arguments[1], std::atof(arguments[2]), world);
  });
}
