#include "core/data/cache/cache_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <thread>
#include <utility>

#include "core/base/error.h"
#include "core/base/file_use.h"
#include "core/base/hash.h"
#include "core/base/system.h"
#include "core/data/cache/checked_byte_store.h"
#include "core/data/hdf5/hdf5_dataset.h"

namespace thaw {
namespace {

namespace fs = std::filesystem;

// Note [A watched cache]
// The folder may lie on a file system that stops to answer, and most of what is written goes there
// by way of mapped memory, where a process hangs in no call at all. So each step of making the file
// is a `FileUse`, in pieces that take no minutes each (core/base/file_use.h): room is made, pages
// are brought in before they are decoded into, and what was written is flushed piece by piece.

constexpr char kPartial[] = ".partial";
/// Of a file that is handled in pieces.
constexpr std::int64_t kPiece = 64 << 20;

[[noreturn]] void fail(const std::string& path, const std::string& what, int error) {
  throw InputError(
      fmt::format("{}: {}: {} (data.cache names the folder)", path, what, std::strerror(error)));
}

/// A file descriptor that closes itself.
class Descriptor {
 public:
  explicit Descriptor(int descriptor) : descriptor_(descriptor) {}
  ~Descriptor() {
    if (descriptor_ >= 0) ::close(descriptor_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return descriptor_; }

 private:
  int descriptor_;
};

/// Waits for the lock `path` and holds it for its life, where the file system knows locks. Its
/// holder leaves in it how many bytes are done; those who wait are told.
class FolderLock {
 public:
  FolderLock(std::string path, const std::function<void(std::int64_t)>& waiting)
      : path_(std::move(path)), descriptor_(open(path_)) {
    for (std::int64_t done = 0; !ask(done);) {
      waiting(done);
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
    }
    set_done(0);
  }
  bool held() const { return held_; }
  /// A report only: whether it can be written makes no difference.
  void set_done(std::int64_t bytes) const {
    if (!held_) return;
    const FileUse use("write", path_);
    [[maybe_unused]] const ssize_t count = ::pwrite(descriptor_.get(), &bytes, sizeof(bytes), 0);
  }

 private:
  static int open(const std::string& path) {
    const FileUse use("open", path);
    const int descriptor = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (descriptor < 0) fail(path, "cannot be created", errno);
    return descriptor;
  }

  /// Whether there is nothing to wait for; else how many bytes the lock's holder has done.
  bool ask(std::int64_t& done) {
    const FileUse use("lock", path_);
    held_ = ::flock(descriptor_.get(), LOCK_EX | LOCK_NB) == 0;
    if (held_ || (errno != EWOULDBLOCK && errno != EINTR)) return true;
    if (::pread(descriptor_.get(), &done, sizeof(done), 0) != sizeof(done)) done = 0;
    return false;
  }

  std::string path_;
  Descriptor descriptor_;
  bool held_ = false;
};

/// A shared writable mapping of a whole file. Decoding straight into it needs no buffer, however
/// large a row of chunks is.
class Mapping {
 public:
  Mapping(int descriptor, std::size_t size, const std::string& path)
      : path_(path),
        memory_(::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0)),
        size_(size) {
    if (memory_ == MAP_FAILED) fail(path, "cannot be mapped", errno);
  }
  ~Mapping() { ::munmap(memory_, size_); }
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;
  std::byte* bytes() const { return static_cast<std::byte*>(memory_); }

  /// Makes the pages of [first, first + size) writable, so that whoever writes there next waits for
  /// no disk; see Note [A watched cache].
  void bring_in(std::byte* first, std::int64_t size) const {
    in_pieces(first, size, [&](std::byte* at, std::size_t bytes) {
      const FileUse use("write", path_);
#ifdef MADV_POPULATE_WRITE
      if (::madvise(at, bytes, MADV_POPULATE_WRITE) == 0) return;
#endif
      const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
      for (std::size_t each = 0; each < bytes; each += page) {
        *reinterpret_cast<volatile std::byte*>(at + each) = std::byte{0};
      }
    });
  }

  /// Until all of it is on the disk.
  void flush() const {
    in_pieces(bytes(), static_cast<std::int64_t>(size_), [&](std::byte* at, std::size_t bytes) {
      const FileUse use("flush", path_);
      if (::msync(at, bytes, MS_SYNC) != 0) fail(path_, "cannot be written", errno);
    });
  }

 private:
  /// `each` is called for pieces of whole pages that cover the bytes.
  template <class Each>
  void in_pieces(std::byte* first, std::int64_t size, const Each& each) const {
    const std::int64_t begin = first - bytes();
    for (std::int64_t at = begin - begin % ::sysconf(_SC_PAGESIZE); at < begin + size;
         at += kPiece) {
      each(bytes() + at, static_cast<std::size_t>(std::min(kPiece, begin + size - at)));
    }
  }

  const std::string& path_;
  void* memory_;
  std::size_t size_;
};

int create_file(const std::string& path) {
  const FileUse use("create", path);
  const int file = ::open(path.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (file < 0) fail(path, "cannot be created", errno);
  return file;
}

/// All of it now: a full disk behind a mapping would be a SIGBUS.
void make_room(int file, std::int64_t bytes, const std::string& path) {
  for (std::int64_t first = 0; first < bytes; first += kPiece) {
    const FileUse use("make room for", path);
    if (const int error = ::posix_fallocate(file, first, std::min(kPiece, bytes - first))) {
      fail(path, "has no room", error);
    }
  }
}

/// The id that a file system has of its own; "0" where it has none, as over a network.
std::string file_system_of(const fs::path& path) {
  struct statfs found {};
  if (::statfs(path.c_str(), &found) != 0) fail(path, "its file system cannot be examined", errno);
  std::uint64_t id = 0;
  static_assert(sizeof(found.f_fsid) == sizeof(id));
  std::memcpy(&id, &found.f_fsid, sizeof(id));
  return fmt::format("{:x}", id);
}

/// Removes the file at its end unless told to keep it.
struct Remover {
  std::string path;
  ~Remover() {
    if (!path.empty()) ::unlink(path.c_str());
  }
};

}  // namespace

std::string default_cache_folder() {
  const fs::path folder = fs::path(temporary_folder()) / fmt::format("thaw-data-{}", ::getuid());
  const FileUse use("look into", folder.native());
  if (::mkdir(folder.c_str(), 0700) != 0 && errno != EEXIST) {
    fail(folder, "cannot be made", errno);
  }
  // The name can be guessed: data that another user put there is not to be trained on.
  struct stat status {};
  if (::lstat(folder.c_str(), &status) != 0) fail(folder, "cannot be examined", errno);
  if (!S_ISDIR(status.st_mode) || status.st_uid != ::getuid() || (status.st_mode & 022) != 0) {
    throw InputError(folder.string() +
                     ": is not a folder that only you can write to; set data.cache to another");
  }
  return folder;
}

std::int64_t room_in(const std::string& folder) {
  const FileUse use("look into", folder);
  struct statvfs room {};
  if (::statvfs(folder.c_str(), &room) != 0) fail(folder, "cannot be examined", errno);
  const std::int64_t free = static_cast<std::int64_t>(room.f_bavail) * room.f_frsize;
  struct statfs kind {};
  constexpr auto kTmpfs = 0x01021994;
  const bool is_memory = ::statfs(folder.c_str(), &kind) == 0 && kind.f_type == kTmpfs;
  return is_memory ? std::min(free, available_memory()) : free;
}

CacheFile::CacheFile(std::string folder, const Hdf5Dataset& dataset, DecodeProgress progress)
    : folder_(std::move(folder)),
      what_(dataset.where()),
      bytes_(dataset.bytes()),
      progress_(std::move(progress)) {
  make_folder();
  const ReadableFile source(dataset.file());
  const fs::path path = fs::canonical(dataset.file());
  source_ = path.string() + ": " + dataset.name();
  const FileStamp& stamp = source.stamp();
  const std::string state =
      fmt::format("{}\n{} {}\n{} {} {}\n{}\n{}\n{}\n", source_, file_system_of(path), stamp.inode,
                  stamp.size, stamp.modified, stamp.changed, dataset.type(), dataset.layout(),
                  fmt::join(dataset.shape(), "x"));
  std::string name = dataset.name().substr(1);
  std::replace(name.begin(), name.end(), '/', '.');
  stem_ = fmt::format("{}.{}.{}", path.stem().string().substr(0, 60), name,
                      thaw::fingerprint(source_).hex().substr(0, 12));
  fingerprint_ = thaw::fingerprint(state).hex();
}

void CacheFile::make_folder() const {
  const FileUse use("look into", folder_);
  std::error_code error;
  fs::create_directories(folder_, error);
  if (error) fail(folder_, "cannot be made", error.value());
}

std::string CacheFile::path() const {
  return (fs::path(folder_) / fmt::format("{}.{}.bin", stem_, fingerprint_)).string();
}

std::string CacheFile::header(const std::vector<Fingerprint>& checks) const {
  std::string text = fmt::format(
      "thaw decoded data 2\nfingerprint {}\nbytes {}\nchecks {}\nsource {}\n"
      "Elements follow at byte {}, then a fingerprint for each {} bytes of them. This file may be "
      "deleted at any time.\n",
      fingerprint_, bytes_,
      thaw::fingerprint(checks.data(), checks.size() * sizeof(Fingerprint)).hex(), source_,
      kHeaderBytes, kCheckedPieceBytes);
  text.resize(kHeaderBytes, '\n');
  return text;
}

std::int64_t CacheFile::file_bytes() const {
  return kHeaderBytes + bytes_ +
         checked_pieces(bytes_) * static_cast<std::int64_t>(sizeof(Fingerprint));
}

std::unique_ptr<ReadableFile> CacheFile::open_existing() {
  {
    const FileUse use("look into", folder_);
    std::error_code error;
    if (!fs::exists(path(), error)) return nullptr;
  }
  auto file = std::make_unique<ReadableFile>(path());
  if (file->size() != file_bytes()) return nullptr;
  std::string found(kHeaderBytes, '\0');
  file->read(0, kHeaderBytes, reinterpret_cast<std::byte*>(found.data()));
  std::vector<Fingerprint> checks(static_cast<std::size_t>(checked_pieces(bytes_)));
  file->read(kHeaderBytes + bytes_, file_bytes() - kHeaderBytes - bytes_,
             reinterpret_cast<std::byte*>(checks.data()));
  if (found != header(checks)) return nullptr;
  checks_ = std::move(checks);
  return file;
}

void CacheFile::tell(std::int64_t done) const {
  if (progress_) progress_(what_, done, bytes_);
}

std::unique_ptr<ReadableFile> CacheFile::open(const Decode& decode) {
  if (auto file = open_existing()) return file;
  bool waited = false;
  const FolderLock lock((fs::path(folder_) / (stem_ + ".lock")).string(), [&](std::int64_t done) {
    waited = true;
    tell(std::min(done, bytes_ - 1));  // the end is told once, below
  });
  if (auto file = open_existing()) {  // another process made it meanwhile
    if (waited) tell(bytes_);
    return file;
  }
  remove_others(lock.held());
  require_room();
  write(decode, [&](std::int64_t done) {
    lock.set_done(done);
    tell(std::min(done, bytes_ - 1));
  });
  auto file = open_existing();
  if (!file) throw InputError(path() + ": vanished right after it was written");
  tell(bytes_);
  return file;
}

void CacheFile::require_room() const {
  const std::int64_t free = room_in(folder_);
  if (free < file_bytes()) {
    throw InputError(fmt::format(
        "{}: decoded it takes {}, {} has {} left; set data.cache to a folder with more room, to "
        "\"memory\" or to \"off\", or rewrite the file without chunks (h5repack -l CONTI)",
        what_, memory_text(bytes_), folder_, memory_text(free)));
  }
}

void CacheFile::write(const Decode& decode, const std::function<void(std::int64_t)>& told) const {
  Remover partial{fmt::format("{}{}.{}.{}", path(), kPartial, host_name(), ::getpid())};
  {
    const Descriptor file(create_file(partial.path));
    make_room(file.get(), file_bytes(), partial.path);
    {
      const Mapping mapping(file.get(), static_cast<std::size_t>(file_bytes()), partial.path);
      std::byte* const elements = mapping.bytes() + kHeaderBytes;
      decode(
          elements,
          {.progress = [&](const std::string&, std::int64_t done, std::int64_t) { told(done); },
           .before = [&](std::byte* first, std::int64_t size) { mapping.bring_in(first, size); }});
      // Decoding is not done yet for who waits, and time goes on.
      const std::vector<Fingerprint> checks =
          piece_fingerprints(elements, bytes_, partial.path,
                             [&](std::int64_t done) { tell(std::min(done, bytes_ - 1)); });
      mapping.bring_in(elements + bytes_, file_bytes() - kHeaderBytes - bytes_);
      std::memcpy(elements + bytes_, checks.data(), checks.size() * sizeof(Fingerprint));
      std::memcpy(mapping.bytes(), header(checks).data(), kHeaderBytes);
      // Before the name is there: after a crash a complete name must not hold zeros.
      mapping.flush();
    }
    const FileUse use("flush", partial.path);
    if (::fsync(file.get()) != 0) fail(partial.path, "cannot be written", errno);
  }
  {
    const FileUse use("rename", partial.path);
    if (::rename(partial.path.c_str(), path().c_str()) != 0) {
      fail(partial.path, "cannot be renamed", errno);
    }
  }
  partial.path.clear();
}

void CacheFile::remove_others(bool partial_too) const {
  // Only this host's: what another host has begun may still be under way.
  const std::string ours = fmt::format("{}.{}.", kPartial, host_name());
  std::error_code error;
  const FileUse use("look into", folder_);
  for (const fs::directory_entry& entry : fs::directory_iterator(folder_, error)) {
    const std::string name = entry.path().filename().string();
    // Not the one to be written: without locks another process may just have finished it.
    if (!name.starts_with(stem_ + ".") || entry.path() == path()) continue;
    const bool complete = name.ends_with(".bin");
    const bool partial = name.find(ours) != std::string::npos;
    if (complete || (partial && partial_too)) fs::remove(entry.path(), error);
  }
}

}  // namespace thaw
