#include "core/checkpoint/durable_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>
#include <vector>

#include "core/base/error.h"
#include "core/base/file_use.h"
#include "core/base/hash.h"

namespace thaw {
namespace {

// A write of everything at once would show no progress for minutes on a slow file system.
constexpr std::size_t kPiece = 8 << 20;

/// Of its path: the folder of checkpoints, the one of this checkpoint, the file.
constexpr int kOwnParts = 3;

const char* remedy(int error) {
  switch (error) {
    case ENOSPC:
    case EDQUOT:
      return "; free space there, or keep fewer checkpoints (checkpoint.keep)";
    case EROFS:
    case EACCES:
    case EPERM:
      return "; make the run folder writable for this user, or name another with --run-dir";
    case ENOENT:
      return "; something removed the folder, or the hosts do not share it";
    case EIO:
    case ESTALE:
      return "; the file system does not answer as it should: look at its own messages";
    default:
      return "";
  }
}

/// A file open for reading, of a known size.
class Input {
 public:
  explicit Input(const std::filesystem::path& path) : path_(path) {
    const FileUse use("open", path_.native());
    file_ = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (file_ < 0) fail(errno == ENOENT ? "is missing" : std::strerror(errno));
    struct stat status {};
    if (::fstat(file_, &status) != 0 || !S_ISREG(status.st_mode)) {
      ::close(file_);
      fail("is no plain file");
    }
    size_ = static_cast<std::uint64_t>(status.st_size);
  }
  ~Input() { ::close(file_); }
  Input(const Input&) = delete;
  Input& operator=(const Input&) = delete;

  std::uint64_t size() const { return size_; }

  /// Fills as much of the memory as the file has; returns how much that was.
  std::size_t read(char* bytes, std::size_t size) const {
    std::size_t done = 0;
    while (done < size) {
      const FileUse use("read", path_.native());
      const ssize_t count = ::read(file_, bytes + done, size - done);
      if (count < 0 && errno == EINTR) continue;
      if (count < 0) fail(fmt::format("cannot be read: {}", std::strerror(errno)));
      if (count == 0) break;
      done += static_cast<std::size_t>(count);
    }
    return done;
  }

  [[noreturn]] void fail(const std::string& what) const {
    throw InputError(fmt::format("{}: {}", path_.string(), what));
  }

  void expect_size(const FileRecord& record) const {
    if (size_ != record.bytes) {
      fail(fmt::format("has {} bytes, its manifest says {}", size_, record.bytes));
    }
  }

 private:
  std::filesystem::path path_;
  int file_ = -1;
  std::uint64_t size_ = 0;
};

}  // namespace

DurableFile::DurableFile(const std::filesystem::path& path,
                         std::atomic<std::uint64_t>* bytes_written)
    : file_(path, /*flags=*/0, remedy, kOwnParts), bytes_written_(bytes_written) {}

void DurableFile::write(const void* bytes, std::size_t size) {
  const char* at = static_cast<const char*>(bytes);
  while (size > 0) {
    const std::size_t piece = std::min(size, kPiece);
    file_.write(at, piece);
    hash_.add(at, piece);
    at += piece;
    size -= piece;
    size_ += piece;
    if (bytes_written_ != nullptr) *bytes_written_ += piece;
  }
}

FileRecord DurableFile::finish() {
  file_.finish();
  return {file_.path().filename().string(), size_, hash_.value().hex()};
}

FileRecord write_durable_text(const std::filesystem::path& path, const std::string& text) {
  DurableFile file(path);
  file.write(text.data(), text.size());
  return file.finish();
}

void verify_file(const std::filesystem::path& folder, const FileRecord& record) {
  const Input file(folder / record.name);
  file.expect_size(record);
  RunningHash hash;
  std::vector<char> buffer(std::min<std::uint64_t>(record.bytes + 1, kPiece));
  std::uint64_t total = 0;
  while (const std::size_t count = file.read(buffer.data(), buffer.size())) {
    hash.add(buffer.data(), count);
    total += count;
  }
  if (total != record.bytes) file.fail("changed while it was read");
  if (hash.value().hex() != record.checksum) {
    file.fail("damaged: its checksum is not the one in its manifest");
  }
}

std::string read_verified(const std::filesystem::path& folder, const FileRecord& record,
                          std::uint64_t most) {
  const Input file(folder / record.name);
  file.expect_size(record);
  const std::string text = read_small_file(folder / record.name, most);
  if (text.size() != record.bytes || fingerprint(text).hex() != record.checksum) {
    file.fail("damaged: its checksum is not the one in its manifest");
  }
  return text;
}

std::string read_small_file(const std::filesystem::path& path, std::uint64_t most) {
  const Input file(path);
  if (file.size() > most) {
    file.fail(fmt::format("has {} bytes, more than such a file can have", file.size()));
  }
  std::string text(file.size(), '\0');
  text.resize(file.read(text.data(), text.size()));
  return text;
}

}  // namespace thaw
