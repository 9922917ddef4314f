#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace thaw {

/// A scalar's tag and value at some step.
using TaggedScalar = std::pair<std::string, double>;

// Note [TensorBoard's files]
// An event file is a row of records: the length of what follows (8 bytes, little end first), a
// checksum of these 8 bytes, as many bytes, and their checksum. A checksum is CRC-32C, rotated and
// shifted by a constant so that one of a checksum is not itself. The bytes are a protocol buffer,
// tensorflow.Event, of which Thaw writes five fields by hand; no library is needed for that.
// Scalars are `simple_value`, a float, which every version of TensorBoard reads.

/// CRC-32C of bytes, as event files store it.
std::uint32_t masked_checksum(std::string_view bytes);

/// One record around an event.
std::string framed_record(std::string_view event);

/// Events, as protocol buffers. `wall_time`: seconds since 1970.
std::string version_event(double wall_time);
/// A run goes on: TensorBoard drops what files before this one say of `step` and later ones.
std::string restart_event(double wall_time, std::int64_t step);
std::string scalars_event(double wall_time, std::int64_t step,
                          const std::vector<TaggedScalar>& scalars);

/// A file that events are added to, each on its way to the disk at once.
///
/// It is for whoever watches, so a disk that is full does not end the training: that is said on
/// standard error once, and the file stays as it is. Not thread-safe.
class EventFile {
 public:
  /// Creates a new file in `folder`, which is made, under a name that TensorBoard looks for and
  /// reads after those that are there. Throws RunError.
  explicit EventFile(const std::filesystem::path& folder);
  ~EventFile();
  EventFile(const EventFile&) = delete;
  EventFile& operator=(const EventFile&) = delete;

  void add(const std::string& event);
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
  int file_ = -1;
  bool failed_ = false;
};

/// Seconds since 1970, now.
double wall_time();

}  // namespace thaw
