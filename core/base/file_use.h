#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace thaw {

/// A call to the file system that may never return, as of a dead server: under way while an
/// instance lives, for whoever watches the process (launch/job/file_watch.h). One call or a piece
/// of some megabytes each, since only the whole is seen. Costs two uncontended locks. Any thread;
/// destroyed on the thread that made it, the last one first.
class FileUse {
 public:
  /// `action`: "write", "read", ...; for ever. `path` must live as long as the instance.
  FileUse(const char* action, std::string_view path);
  ~FileUse();
  FileUse(const FileUse&) = delete;
  FileUse& operator=(const FileUse&) = delete;

  struct Seen {
    std::uint64_t number = 0;  ///< no other call of the process has it
    std::string action, path;
  };
  /// What is under way, by thread.
  static std::vector<Seen> all();

 private:
  // Of the call that this one is a part of.
  std::uint64_t outer_number_;
  const char* outer_action_;
  std::string_view outer_path_;
};

}  // namespace thaw
