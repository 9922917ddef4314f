#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "core/base/whole_file.h"

namespace thaw {

/// Where a user wants what a command makes: a path that he has named.
///
/// A plain file, or a name that is not taken, becomes a WholeFile; behind a link it is the file
/// that the link leads to, and the link stays. A pipe, a device, or what is open already
/// (/dev/stdout, /dev/fd/3, whatever it is) is written through, piece by piece, and never replaced;
/// a pipe that nobody reads within some seconds is an error. Not for files in folders of the
/// program's own, where nobody's links are followed: WholeFile.
///
/// Throws RunError as WholeFile does.
class GivenOutput {
 public:
  explicit GivenOutput(const std::filesystem::path& path);
  ~GivenOutput();
  GivenOutput(const GivenOutput&) = delete;
  GivenOutput& operator=(const GivenOutput&) = delete;

  void write(const std::string& text);
  /// All is written. Without it a plain file is left as it was.
  void commit();

 private:
  [[noreturn]] void fail(const char* action) const;

  std::filesystem::path path_;
  std::optional<WholeFile> whole_;
  int through_ = -1;
};

/// Whether what stands at a path that a user has named would be written through.
bool is_written_through(const std::filesystem::path& path);

/// A whole text for a path that a user has named.
void write_given_output(const std::filesystem::path& path, const std::string& text);

}  // namespace thaw
