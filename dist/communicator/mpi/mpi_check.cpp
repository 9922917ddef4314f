#include "dist/communicator/mpi/mpi_check.h"

#include <fmt/format.h>

#include <cstdio>

#include "core/base/error.h"

namespace thaw {

std::string mpi_error_text(int code, const char* what) {
  char text[MPI_MAX_ERROR_STRING + 1] = {};
  int length = 0;
  if (MPI_Error_string(code, text, &length) != MPI_SUCCESS) {
    return fmt::format("{} failed with MPI's error {}", what, code);
  }
  return fmt::format("{} failed: {}", what, text);
}

void check_mpi(int code, const char* what) {
  if (code != MPI_SUCCESS) throw RunError(mpi_error_text(code, what));
}

void report_mpi(int code, const char* what) noexcept {
  if (code == MPI_SUCCESS) return;
  try {
    fmt::print(stderr, "thaw: {}\n", mpi_error_text(code, what));
  } catch (...) {
    std::fputs("thaw: an MPI call failed in a destructor\n", stderr);
  }
}

bool mpi_is_running() noexcept {
  int initialised = 0;
  int finalised = 0;
  MPI_Initialized(&initialised);
  MPI_Finalized(&finalised);
  return initialised && !finalised;
}

int mpi_job_size() noexcept {
  int size = 0;
  if (!mpi_is_running() || MPI_Comm_size(MPI_COMM_WORLD, &size) != MPI_SUCCESS) return 0;
  return size;
}

}  // namespace thaw
