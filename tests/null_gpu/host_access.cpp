// A host that touches device memory dies as it would on a GPU; here it is told where.

#include <csignal>
#include <cstdio>
#include <cstdlib>

#include "tests/null_gpu/ledger.h"
#include "tests/null_gpu/memory.h"

namespace null_gpu {
namespace {

void on_bad_address(int signal, siginfo_t* info, void*) {
  if (const auto device = Memory::device_of(info->si_addr)) {
    std::fprintf(stderr, "null GPU: the host touches memory of device %d\n%s", *device,
                 stack_text().c_str());
    std::_Exit(128 + signal);
  }
  std::signal(signal, SIG_DFL);  // the same instruction meets it again
}

const struct AtStart {
  AtStart() {
    struct sigaction action = {};
    action.sa_sigaction = on_bad_address;
    action.sa_flags = SA_SIGINFO;
    sigaction(SIGSEGV, &action, nullptr);
  }
} at_start;

}  // namespace
}  // namespace null_gpu
