#pragma once

#include <functional>
#include <optional>

#include "launch/job/file_watch.h"

namespace thaw {

class Communicator;
struct Configuration;

/// Ends the job over a file system that does not answer (launch/job/file_watch.h): with status 3
/// where a process is alone, else all ranks with 4. Reading the configuration may hang already, so
/// it goes by the usual deadline until `set` knows the run's own.
class FileDeadline {
 public:
  /// `world` outlives it.
  explicit FileDeadline(const Communicator& world);

  /// Seconds for one call; 0: for ever.
  void set(double seconds);
  /// Does it, for `SetupRequest::configured`. Not to be called after this instance's end.
  std::function<void(const Configuration&)> by_configuration();

 private:
  const Communicator& world_;
  double seconds_;
  std::optional<FileWatch> watch_;
};

}  // namespace thaw
