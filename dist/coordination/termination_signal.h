#pragma once

#include <csignal>

namespace thaw {

/// Turns SIGTERM into something that a thread can wait for. A launcher sends it to the ranks that
/// are left when one has died, and kills them about a second later: time for a message.
///
/// At most one lives at a time. Destroying it brings back what was before.
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
