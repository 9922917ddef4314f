// A job that ends in the way its first argument names, for mpi_session_test.cpp.

#include <cstdio>
#include <stdexcept>
#include <string>

#include "core/parallel/agreement.h"
#include "dist/communicator/mpi/mpi_session.h"

namespace thaw {
namespace {

ExitStatus body(const std::string& way, Communicator& world) {
  std::printf("rank %d says something\n", world.rank());
  if (way == "done") return ExitStatus::kDone;
  if (way == "requeue") return ExitStatus::kRequeue;
  if (way == "agreed") {
    agreed(world, [&] {
      if (world.rank() == 1) throw InputError("planted: no such file");
    });
  }
  if (way == "alone" && world.rank() == 1) throw RunError("planted: disk full");
  if (way == "disagreement" && world.rank() == 1) throw DisagreementError("planted: hung");
  if (way == "foreign" && world.rank() == 0) throw std::runtime_error("planted: foreign");
  world.barrier();
  return ExitStatus::kDone;
}

/// Without `run`: an error that passes the session on its way out.
int unwound(const std::string& way) {
  try {
    MpiSession session;
    if (session.world().rank() == 1) throw std::runtime_error(way);
    session.world().barrier();
  } catch (const std::exception&) {
    std::puts("caught too late");
  }
  return 0;
}

}  // namespace
}  // namespace thaw

int main(int count, char** arguments) {
  const std::string way = count > 1 ? arguments[1] : "";
  if (way == "unwound") return thaw::unwound(way);
  return thaw::MpiSession::run([&](thaw::Communicator& world) { return thaw::body(way, world); });
}
