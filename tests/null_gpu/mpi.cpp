// Sums over MPI: those that ranks with GPUs make on the host are counted, and left to MPI. Of its
// handles nothing is asked here: they are passed on as they come.

#include <dlfcn.h>

#include "tests/null_gpu/ledger.h"

namespace {

constexpr const char* kSums = "sums over MPI";

}  // namespace

extern "C" {

int MPI_Allreduce(const void* from, void* to, int count, void* type, void* operation, void* comm) {
  using Call = int(const void*, void*, int, void*, void*, void*);
  static auto* const call = reinterpret_cast<Call*>(dlsym(RTLD_NEXT, "MPI_Allreduce"));
  null_gpu::Ledger::get().count(kSums);
  return call(from, to, count, type, operation, comm);
}

int MPI_Iallreduce(const void* from, void* to, int count, void* type, void* operation, void* comm,
                   void* request) {
  using Call = int(const void*, void*, int, void*, void*, void*, void*);
  static auto* const call = reinterpret_cast<Call*>(dlsym(RTLD_NEXT, "MPI_Iallreduce"));
  null_gpu::Ledger::get().count(kSums);
  return call(from, to, count, type, operation, comm, request);
}

}  // extern "C"
