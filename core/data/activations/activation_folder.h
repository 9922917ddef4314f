#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <set>
#include <string>

namespace thaw {

/// The right to make a file, held for the life of an instance: one process of the host at a time.
/// Where the file system knows no locks everybody has it, and one of the equal results stays.
class FillClaim {
 public:
  /// Waits until it is free, calling `waiting` some times a second. Throws `InputError` where the
  /// lock cannot be made.
  FillClaim(const std::string& lock, const std::function<void()>& waiting);
  ~FillClaim();
  FillClaim(const FillClaim&) = delete;
  FillClaim& operator=(const FillClaim&) = delete;

 private:
  int descriptor_ = -1;
};

/// What the activations of a folder may take, and take.
struct ActivationRoom {
  std::int64_t limit = 0;  ///< bytes for all of them
  std::int64_t used = 0;   ///< by those that are there
};

/// `limit`: bytes; 0: half of what the folder has room for.
ActivationRoom activation_room(const std::string& folder, std::int64_t limit);

/// Removes files of activations until `bytes` more are within the limit, the one used longest ago
/// first, never one of `kept` (paths), and what was left unfinished: by processes of this host that
/// are gone, and by whomever where it was not written for a day and its lock is free. Whether
/// there is room then.
bool make_activation_room(const std::string& folder, std::int64_t bytes, std::int64_t limit,
                          const std::set<std::string>& kept);

/// Seconds a byte.
struct FolderSpeed {
  double write = 0;  ///< and on the disk
  double read = 0;   ///< again, from memory
};
/// Measured on a few megabytes, which are removed again. Throws `InputError` where nothing can be
/// written.
FolderSpeed measure_folder(const std::string& folder);

}  // namespace thaw
