#pragma once

#include <string>
#include <string_view>

#include "launch/job/child_process.h"

namespace thaw {

/// A file in memory, to be a child's standard stream: it takes what the child prints, whatever its
/// length, and needs no reader; or gives it what it reads.
class MemoryFile {
 public:
  /// Throws RunError where there is none to be had.
  explicit MemoryFile(std::string_view content = {});

  int descriptor() const { return file_.number(); }

  /// All that it holds, without its last end of line.
  std::string text() const;

 private:
  Descriptor file_;
};

}  // namespace thaw
