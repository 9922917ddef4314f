// A loop of somebody's own under a JobWatch that goes wrong in its fifth step, in the way that its
// first argument names, for watched_loop_test.cpp. The second argument is the deadline in seconds.

#include <ATen/ops/add.h>
#include <ATen/ops/ones.h>

#include <cstdlib>
#include <string>

#include "dist/communicator/mpi/mpi_session.h"
#include "dist/coordination/job_watch.h"
#include "dist/data_parallel/data_parallel.h"

namespace thaw {
namespace {

ExitStatus train(const std::string& way, double deadline, Communicator& world) {
  JobWatch watch(world);
  watch.start({.hang = deadline, .transition = deadline});
  const at::Tensor low = at::ones({4}).set_requires_grad(true);
  const at::Tensor high = at::ones({4}).set_requires_grad(true);
  DataParallel parallel(watch.communicator(), {{"low", low}, {"high", high}}, {},
                        {.monitor = &watch.monitor()});
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
  watch.finish();
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
