#pragma once

#include <mpi.h>

#include <string>

namespace thaw {

/// "what: text of MPI's error `code`".
std::string mpi_error_text(int code, const char* what);

/// Throws RunError where an MPI call has failed. Errors are returned rather than fatal on
/// communicators that Thaw made (MPI_ERRORS_RETURN).
void check_mpi(int code, const char* what);

/// The same for destructors: says it on standard error and goes on.
void report_mpi(int code, const char* what) noexcept;

/// Whether MPI can be called now: initialised and not yet finalised.
bool mpi_is_running() noexcept;

/// Ranks of the whole MPI job; 0 where MPI cannot be called.
int mpi_job_size() noexcept;

}  // namespace thaw
