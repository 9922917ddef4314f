#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

namespace thaw {

// Note [Files that others name]
// A file that a user or another program names may be anything: a pipe that nobody writes to, a
// device without end, a table of gigabytes, on a server that is down. Text is read by these two
// alone (and JSON by read_json_object, on top of them), which wait for nothing for ever, take no
// more memory than they are told, and are seen by who watches (core/base/file_use.h).

/// All of a file that a user named, of `most` bytes at most. A pipe is read too (a shell's
/// `<(command)` is one), but waited for no longer than some seconds: one that nobody writes to
/// would block for ever. Throws InputError that begins with `path` and says what the system says.
std::string read_input_text(const std::string& path, std::int64_t most);

/// The lines of a file one after another, as of a log that is longer than anybody would hold in
/// memory. Read as `read_input_text` does, with the same errors.
class InputLines {
 public:
  explicit InputLines(const std::string& path);
  ~InputLines();
  InputLines(const InputLines&) = delete;
  InputLines& operator=(const InputLines&) = delete;

  /// Fills `line` with the next one, without its end; false where there is none. Throws InputError
  /// for one of more than 16 MiB: no program writes such a line.
  bool next(std::string& line);
  /// How many came.
  std::int64_t number() const { return number_; }
  /// Whether the last one had an end: what a killed program wrote last may lack it.
  bool ended() const { return ended_; }

 private:
  std::unique_ptr<class InputFile> file_;
  std::array<char, 1 << 16> block_;
  std::size_t begin_ = 0, end_ = 0;  ///< of what is in `block_` and has not come yet
  std::int64_t number_ = 0;
  bool ended_ = true;
};

}  // namespace thaw
