#include "core/data/cache/checked_byte_store.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "core/base/error.h"
#include "core/base/file_use.h"
#include "core/base/progress/notice.h"
#include "core/base/text_bytes.h"
#include "core/data/hdf5/readable_file.h"

namespace thaw {
namespace {

constexpr std::int64_t kBits = 64;  ///< of a word

/// What to do where a piece can be neither believed nor made anew.
RunError lost_piece(const std::string& path, std::int64_t byte, const std::string& why) {
  return RunError(
      fmt::format("{}: is damaged at byte {}, and could not be decoded anew ({}); delete it and "
                  "start again: it is made anew from the data file",
                  printable(path), byte, printable(why)));
}

}  // namespace

std::vector<Fingerprint> piece_fingerprints(const std::byte* memory, std::int64_t bytes,
                                            const std::string& path,
                                            const std::function<void(std::int64_t)>& told) {
  std::vector<Fingerprint> checks;
  for (std::int64_t first = 0; first < bytes; first += kCheckedPieceBytes) {
    const std::int64_t size = std::min(kCheckedPieceBytes, bytes - first);
    {
      const FileUse use("read", path);  // what was written may be on the disk alone by now
      checks.push_back(fingerprint(memory + first, static_cast<std::size_t>(size)));
    }
    if (told) told(first + size);
  }
  return checks;
}

CheckedByteStore::CheckedByteStore(std::shared_ptr<const ReadableFile> file, std::int64_t address,
                                   std::int64_t bytes, std::vector<Fingerprint> checks,
                                   DecodeAgain decode_again, std::string description)
    : file_(std::move(file)),
      address_(address),
      bytes_(bytes),
      checks_(std::move(checks)),
      decode_again_(std::move(decode_again)),
      description_(std::move(description)),
      good_(new std::atomic<std::uint64_t>[checks_.size() / kBits + 1]()) {}

void CheckedByteStore::read(std::int64_t offset, std::int64_t size, std::byte* memory) const {
  if (size == 0) return;
  const std::int64_t last = (offset + size - 1) / kCheckedPieceBytes;
  for (std::int64_t piece = offset / kCheckedPieceBytes; piece <= last; ++piece) {
    if (!is_good(piece)) check(piece);
  }
  file_->read(address_ + offset, size, memory);
  if (!any_outside_.load(std::memory_order_acquire)) return;
  for (std::int64_t piece = offset / kCheckedPieceBytes; piece <= last; ++piece) {
    put_in(piece, offset, size, memory);
  }
}

/// What lies in a piece that the file does not have, into `memory`, which holds the bytes
/// [offset, offset + size).
void CheckedByteStore::put_in(std::int64_t piece, std::int64_t offset, std::int64_t size,
                              std::byte* memory) const {
  std::vector<std::byte> decoded;
  const std::vector<std::byte>* bytes = nullptr;
  {
    const std::lock_guard lock(mutex_);
    const auto found = outside_.find(piece);
    if (found == outside_.end()) return;
    bytes = &found->second;  // neither moved nor changed any more
  }
  if (bytes->empty()) {
    decode(piece, decoded);
    bytes = &decoded;
  }
  const std::int64_t begin = piece * kCheckedPieceBytes;
  const std::int64_t from = std::max(begin, offset);
  const std::int64_t to = std::min(begin + std::ssize(*bytes), offset + size);
  std::memcpy(memory + (from - offset), bytes->data() + (from - begin),
              static_cast<std::size_t>(to - from));
}

bool CheckedByteStore::is_good(std::int64_t piece) const {
  const std::uint64_t word =
      good_[static_cast<std::size_t>(piece / kBits)].load(std::memory_order_acquire);
  return (word >> (piece % kBits) & 1) != 0;
}

/// Several threads may check one piece at the same time, and come to the same.
void CheckedByteStore::check(std::int64_t piece) const {
  const std::int64_t offset = piece * kCheckedPieceBytes;
  thread_local std::vector<std::byte> bytes;
  bytes.resize(static_cast<std::size_t>(std::min(kCheckedPieceBytes, bytes_ - offset)));
  file_->read(address_ + offset, std::ssize(bytes), bytes.data());
  if (fingerprint(bytes.data(), bytes.size()) != checks_[static_cast<std::size_t>(piece)]) {
    mend(piece, bytes);
  }
  // Whoever sees the bit sees what is kept outside of the file too.
  good_[static_cast<std::size_t>(piece / kBits)].fetch_or(std::uint64_t{1} << (piece % kBits),
                                                          std::memory_order_release);
}

/// From its source, as it was written.
void CheckedByteStore::decode(std::int64_t piece, std::vector<std::byte>& bytes) const {
  const std::int64_t offset = piece * kCheckedPieceBytes;
  bytes.resize(static_cast<std::size_t>(std::min(kCheckedPieceBytes, bytes_ - offset)));
  try {
    decode_again_(offset, std::ssize(bytes), bytes.data());
  } catch (const Error& error) {
    throw lost_piece(file_->path(), address_ + offset, error.what());
  }
  if (fingerprint(bytes.data(), bytes.size()) != checks_[static_cast<std::size_t>(piece)]) {
    throw lost_piece(file_->path(), address_ + offset, "the data file holds something else now");
  }
}

void CheckedByteStore::mend(std::int64_t piece, std::vector<std::byte>& bytes) const {
  const std::int64_t offset = piece * kCheckedPieceBytes;
  decode(piece, bytes);
  const std::string problem = write_back(offset, bytes);
  bool first = true;
  if (!problem.empty()) {
    const std::lock_guard lock(mutex_);
    first = outside_.empty();
    outside_.try_emplace(piece,
                         outside_.size() < kMostKeptPieces ? bytes : std::vector<std::byte>());
    any_outside_.store(true, std::memory_order_release);
  }
  if (!first) return;  // of a file that cannot be written to, once
  say(fmt::format(
      "thaw: warning: {}: was damaged between bytes {} and {}; they were decoded anew{}. "
      "Look after the disk that it lies on\n",
      printable(file_->path()), address_ + offset, address_ + offset + std::ssize(bytes),
      problem.empty() ? ""
                      : fmt::format(", and cannot be written back ({}), so that is done "
                                    "in each process that reads them",
                                    problem)));
}

/// Into the file that is open, and no other that has its name by now. Returns why not, or "".
std::string CheckedByteStore::write_back(std::int64_t offset,
                                         const std::vector<std::byte>& bytes) const {
  const FileUse use("write", file_->path());
  const int descriptor = ::open(file_->path().c_str(), O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
  if (descriptor < 0) return std::strerror(errno);
  struct stat status {};
  int error = ::fstat(descriptor, &status) != 0 ? errno : 0;
  const FileStamp now = stamp_of(status);
  const FileStamp& opened = file_->stamp();
  if (error == 0 && (now.device != opened.device || now.inode != opened.inode)) error = ESTALE;
  std::size_t done = 0;
  while (error == 0 && done < bytes.size()) {
    const ssize_t count = ::pwrite(descriptor, bytes.data() + done, bytes.size() - done,
                                   address_ + offset + static_cast<std::int64_t>(done));
    if (count > 0) done += static_cast<std::size_t>(count);
    if (count < 0 && errno != EINTR) error = errno;
  }
  if (error == 0 && ::fdatasync(descriptor) != 0) error = errno;
  ::close(descriptor);
  return error != 0 ? std::strerror(error) : "";
}

}  // namespace thaw
