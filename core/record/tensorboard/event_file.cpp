#include "core/record/tensorboard/event_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <boost/crc.hpp>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <cstring>
#include <system_error>

#include "core/base/error.h"
#include "core/base/file_use.h"
#include "core/base/progress/notice.h"
#include "core/base/system.h"
#include "core/base/whole_file.h"

namespace thaw {
namespace fs = std::filesystem;
namespace {

constexpr std::string_view kPrefix = "events.out.tfevents.";

/// A number's bytes, little end first.
template <typename Number>
std::string bytes_of(Number number) {
  std::string bytes;
  for (std::size_t i = 0; i < sizeof(Number); ++i) {
    bytes += static_cast<char>(static_cast<unsigned char>(number >> (8 * i)));
  }
  return bytes;
}

std::string varint(std::uint64_t number) {
  std::string bytes;
  for (; number >= 0x80; number >>= 7) bytes += static_cast<char>((number & 0x7F) | 0x80);
  return bytes + static_cast<char>(number);
}

/// The fields of a protocol buffer, by their numbers.
std::string whole(std::uint64_t field, std::int64_t value) {
  return varint(field << 3) + varint(static_cast<std::uint64_t>(value));
}
std::string real(std::uint64_t field, double value) {
  return varint(field << 3 | 1) + bytes_of(std::bit_cast<std::uint64_t>(value));
}
std::string single(std::uint64_t field, double value) {
  return varint(field << 3 | 5) + bytes_of(std::bit_cast<std::uint32_t>(static_cast<float>(value)));
}
std::string text(std::uint64_t field, std::string_view value) {
  return varint(field << 3 | 2) + varint(value.size()) + std::string(value);
}

/// The latest time that a file's name there has; 0: there is none.
std::int64_t latest_in(const fs::path& folder) {
  std::int64_t latest = 0;
  std::error_code error;  // where nothing can be listed, nothing can be made either
  for (const auto& entry : fs::directory_iterator(folder, error)) {
    const std::string name = entry.path().filename().string();
    if (!name.starts_with(kPrefix)) continue;
    std::int64_t time = 0;
    std::from_chars(name.data() + kPrefix.size(), name.data() + name.size(), time);
    latest = std::max(latest, time);
  }
  return latest;
}

}  // namespace

std::uint32_t masked_checksum(std::string_view bytes) {
  boost::crc_optimal<32, 0x1EDC6F41, 0xFFFFFFFF, 0xFFFFFFFF, true, true> crc;
  crc.process_bytes(bytes.data(), bytes.size());
  return std::rotr(static_cast<std::uint32_t>(crc.checksum()), 15) + 0xA282EAD8U;
}

std::string framed_record(std::string_view event) {
  const std::string length = bytes_of(static_cast<std::uint64_t>(event.size()));
  return length + bytes_of(masked_checksum(length)) + std::string(event) +
         bytes_of(masked_checksum(event));
}

std::string version_event(double wall_time) {
  return real(1, wall_time) + text(3, "brain.Event:2");
}

std::string restart_event(double wall_time, std::int64_t step) {
  constexpr std::int64_t kStart = 1;  // SessionLog.SessionStatus
  return real(1, wall_time) + whole(2, step) + text(7, whole(1, kStart));
}

std::string scalars_event(double wall_time, std::int64_t step,
                          const std::vector<TaggedScalar>& scalars) {
  std::string summary;
  for (const auto& [tag, value] : scalars) summary += text(1, text(1, tag) + single(2, value));
  return real(1, wall_time) + whole(2, step) + text(5, summary);
}

double wall_time() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

EventFile::EventFile(const fs::path& folder) {
  std::error_code error;
  fs::create_directory(folder, error);
  if (error) {
    throw RunError(fmt::format("{}: cannot be made: {}", folder.string(), error.message()));
  }
  const auto now = std::max(static_cast<std::int64_t>(wall_time()), latest_in(folder) + 1);
  path_ = folder / fmt::format("{}{:010}.{}.{}.0", kPrefix, now, host_name(), ::getpid());
  file_ = open_own_file(path_, /*own=*/2, O_WRONLY | O_CREAT | O_APPEND | O_EXCL);
  if (file_ < 0) {
    throw RunError(
        fmt::format("{}: cannot be opened for writing: {}", path_.string(), std::strerror(errno)));
  }
  add(version_event(wall_time()));
}

EventFile::~EventFile() { ::close(file_); }

void EventFile::add(const std::string& event) {
  if (failed_) return;
  const std::string record = framed_record(event);
  for (std::size_t done = 0; done < record.size();) {
    const FileUse use("write", path_.native());
    const ssize_t count = ::write(file_, record.data() + done, record.size() - done);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) {
      // Half a record would make all that follows unreadable, so nothing follows.
      failed_ = true;
      say(fmt::format(
          "thaw: warning: {}: cannot be written: {}; training goes on, and metrics.jsonl "
          "has what this file lacks from here on\n",
          path_.string(), std::strerror(errno)));
      return;
    }
    done += static_cast<std::size_t>(count);
  }
}

}  // namespace thaw
