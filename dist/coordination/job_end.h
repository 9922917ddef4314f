#pragma once

#include <string>

#include "core/base/error.h"

namespace thaw {

/// "thaw: " and the text, on standard error at once and whole, whatever another thread is doing.
void print_now(const std::string& text);

/// Ends all ranks of the MPI job with `status`, from any thread and while other threads are inside
/// MPI or blocked in output; within some seconds even where MPI does not answer.
[[noreturn]] void end_mpi_job(ExitStatus status);

}  // namespace thaw
