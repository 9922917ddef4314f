#pragma once

#include <csignal>
#include <string>

#include "core/base/error.h"

namespace thaw {

/// "thaw: " and the text, on standard error at once and whole, whatever another thread is doing.
void print_now(const std::string& text);

/// Ends all ranks of the MPI job with `status`, from any thread and while other threads are inside
/// MPI or blocked in output; within some seconds even where MPI does not answer.
[[noreturn]] void end_mpi_job(ExitStatus status);

/// Turns SIGTERM into something that a thread can wait for. A launcher sends it to the ranks that
/// are left when one has died, and kills them about a second later: time for a message.
///
/// At most one lives at a time. A handler that was there before is called too; destroying it brings
/// back what was before.
class TerminationSignal {
 public:
  /// Throws RunError where the system refuses.
  TerminationSignal();
  ~TerminationSignal();
  TerminationSignal(const TerminationSignal&) = delete;
  TerminationSignal& operator=(const TerminationSignal&) = delete;

  /// Readable (poll) once the signal has come.
  int descriptor() const { return descriptor_; }

  /// Ends the process as the signal would have.
  [[noreturn]] void die() const;

 private:
  int descriptor_ = -1;
  struct sigaction before_ = {};
};

}  // namespace thaw
