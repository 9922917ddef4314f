// Preloaded, it makes the file system another one, as the environment says:
//   THAW_FILE_FAULT   words among "no-links" (hard links are not known), "no-exchange",
//                     "no-memory-files" and "no-shared-memory" (such files are not mapped)
//   THAW_FAULT_RANK   the last two at this rank of Open MPI's alone
//   THAW_FLUSH_LOG    a file that takes the path of each file and folder that is flushed
//   THAW_HANG         reading what has this in its path never comes back; "mapped": memory is never
//                     brought in from mapped files
//   THAW_HANG_NOT     but in a program of this name it does
//   THAW_HANG_CALL    never comes back: "fallocate", "populate" (memory brought in from mapped
//   files,
//                     to be written), "msync", "fsync", "flock" or "rename"
//   THAW_HANG_IN      but for files that have this in their path, where the call tells one
//   THAW_CLOCK_JUMP   the time of day is so many seconds off …
//   THAW_CLOCK_AFTER  … once this path is there

#include <dlfcn.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <string>
#include <string_view>

namespace {

std::string_view setting(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

template <class Function>
Function* next(const char* name) {
  return reinterpret_cast<Function*>(dlsym(RTLD_NEXT, name));
}

std::string path_of(int file) {
  std::array<char, 4096> space{};
  const std::string link = "/proc/self/fd/" + std::to_string(file);
  const ssize_t size = readlink(link.c_str(), space.data(), space.size());
  return size < 0 ? "" : std::string(space.data(), static_cast<std::size_t>(size));
}

void hang_on(std::string_view what) {
  const std::string_view where = setting("THAW_HANG");
  if (where.empty() || what.find(where) == std::string_view::npos) return;
  if (setting("THAW_HANG_NOT") == program_invocation_short_name) return;
  while (true) pause();
}

void hang_in(std::string_view call, const std::string& path) {
  if (setting("THAW_HANG_CALL") != call) return;
  if (path.find(setting("THAW_HANG_IN")) == std::string::npos) return;
  while (true) pause();
}

/// Whether a word of THAW_FILE_FAULT holds at this rank.
bool fails_here(std::string_view word) {
  if (setting("THAW_FILE_FAULT").find(word) == std::string_view::npos) return false;
  const std::string_view rank = setting("THAW_FAULT_RANK");
  return rank.empty() || rank == setting("OMPI_COMM_WORLD_RANK");
}

void note_flush(int file) {
  const std::string log(setting("THAW_FLUSH_LOG"));
  if (log.empty()) return;
  const std::string line = path_of(file) + "\n";
  const int to = open(log.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (to < 0 || write(to, line.data(), line.size()) < 0) std::abort();
  close(to);
}

}  // namespace

extern "C" {

int linkat(int from, const char* name, int to, const char* other, int flags) {
  if (setting("THAW_FILE_FAULT").find("no-links") != std::string_view::npos) {
    errno = EPERM;
    return -1;
  }
  return next<int(int, const char*, int, const char*, int)>("linkat")(from, name, to, other, flags);
}

int renameat2(int from, const char* name, int to, const char* other, unsigned flags) {
  if (flags != 0 && setting("THAW_FILE_FAULT").find("no-exchange") != std::string_view::npos) {
    errno = EINVAL;
    return -1;
  }
  return next<int(int, const char*, int, const char*, unsigned)>("renameat2")(from, name, to, other,
                                                                              flags);
}

int memfd_create(const char* name, unsigned flags) noexcept {
  if (fails_here("no-memory-files") && std::string_view(name) == "thaw-weights") {
    errno = ENOSYS;
    return -1;
  }
  return next<int(const char*, unsigned)>("memfd_create")(name, flags);
}

void* mmap(void* place, std::size_t size, int protection, int flags, int file,
           off_t offset) noexcept {
  if (file >= 0 && fails_here("no-shared-memory") &&
      path_of(file).find("memfd:thaw-weights") != std::string::npos) {
    errno = ENOMEM;
    return MAP_FAILED;
  }
  return next<void*(void*, std::size_t, int, int, int, off_t)>("mmap")(place, size, protection,
                                                                       flags, file, offset);
}

int fsync(int file) {
  hang_in("fsync", path_of(file));
  note_flush(file);
  return next<int(int)>("fsync")(file);
}

int posix_fallocate(int file, off_t offset, off_t size) {
  hang_in("fallocate", path_of(file));
  return next<int(int, off_t, off_t)>("posix_fallocate")(file, offset, size);
}

int posix_fallocate64(int file, off64_t offset, off64_t size) {
  return posix_fallocate(file, offset, size);
}

int flock(int file, int operation) noexcept {
  hang_in("flock", path_of(file));
  return next<int(int, int)>("flock")(file, operation);
}

int rename(const char* from, const char* to) noexcept {
  hang_in("rename", from);
  return next<int(const char*, const char*)>("rename")(from, to);
}

int msync(void* memory, std::size_t size, int flags) {
  hang_in("msync", std::string(setting("THAW_HANG_IN")));
  return next<int(void*, std::size_t, int)>("msync")(memory, size, flags);
}

int clock_gettime(clockid_t clock, timespec* now) noexcept {
  static const auto real = next<int(clockid_t, timespec*)>("clock_gettime");
  const int result = real(clock, now);
  if (result != 0 || clock != CLOCK_REALTIME) return result;
  const char* jump = std::getenv("THAW_CLOCK_JUMP");
  const char* path = std::getenv("THAW_CLOCK_AFTER");
  if (jump == nullptr || path == nullptr) return result;
  if (access(path, F_OK) == 0) now->tv_sec += std::atol(jump);
  return result;
}

int fdatasync(int file) {
  note_flush(file);
  return next<int(int)>("fdatasync")(file);
}

ssize_t read(int file, void* bytes, std::size_t size) {
  if (!setting("THAW_HANG").empty()) hang_on(path_of(file));
  return next<ssize_t(int, void*, std::size_t)>("read")(file, bytes, size);
}

ssize_t pread(int file, void* bytes, std::size_t size, off_t offset) {
  if (!setting("THAW_HANG").empty()) hang_on(path_of(file));
  return next<ssize_t(int, void*, std::size_t, off_t)>("pread")(file, bytes, size, offset);
}

ssize_t pread64(int file, void* bytes, std::size_t size, off64_t offset) {
  return pread(file, bytes, size, offset);
}

int madvise(void* memory, std::size_t size, int advice) {
#ifdef MADV_POPULATE_READ
  if (advice == MADV_POPULATE_READ) hang_on("mapped");
#endif
#ifdef MADV_POPULATE_WRITE
  if (advice == MADV_POPULATE_WRITE) hang_in("populate", std::string(setting("THAW_HANG_IN")));
#endif
  return next<int(void*, std::size_t, int)>("madvise")(memory, size, advice);
}
}
