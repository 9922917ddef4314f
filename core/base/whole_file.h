#pragma once

#include <cstddef>
#include <filesystem>
#include <string>

namespace thaw {

/// Opens a plain file in folders of the program's own: of `path`, the last `own` parts (at least
/// one, the file itself) are names that only this program makes, so what is a link among them was
/// planted, and is not followed. `flags` as for open(2). Returns the descriptor, or -1 with errno.
/// Throws RunError, naming it, for a link, or where a pipe or a device stands in the file's place.
int open_own_file(const std::filesystem::path& path, int own, int flags);

/// Throws InputError, naming it, where a link stands at `path`, or something that is neither there
/// nor a `folder` or plain file: for a name of the program's own, before anything is changed.
void refuse_planted(const std::filesystem::path& path, bool folder);

/// When what was written is to be on the disk: before anything goes on, or when the system finds
/// the time, which a power cut may not leave it.
enum class Lasting { kNow, kLater };

/// A file open for writing, on the disk once `finish(Lasting::kNow)` has returned. Throws RunError,
/// naming the file, what could not be done, the system's reason, and what to do where that is
/// known.
class OutputFile {
 public:
  /// What to do about a number of errno, as the end of a message; "" where nobody knows.
  using Remedy = const char* (*)(int error);

  /// `flags`: of open(2), besides those of a new file that is written from its start. `own`: as for
  /// `open_own_file`; 0: links are followed.
  explicit OutputFile(std::filesystem::path path, int flags = 0, Remedy remedy = nullptr,
                      int own = 0);
  ~OutputFile();
  OutputFile(const OutputFile&) = delete;
  OutputFile& operator=(const OutputFile&) = delete;

  const std::filesystem::path& path() const { return path_; }

  void write(const void* bytes, std::size_t size);
  /// Flushes to the disk, and closes.
  void finish(Lasting lasting = Lasting::kNow);

  [[noreturn]] void fail(const char* action) const;

 private:
  std::filesystem::path path_;
  Remedy remedy_;
  int file_ = -1;
};

/// A file that is there whole or not at all, whatever stops the process: it is written under
/// another name beside its place, and renamed at the end, when all of it is on the disk. What stood
/// there before is replaced then. Without `commit` it leaves nothing behind.
///
/// Throws RunError as OutputFile does.
class WholeFile {
 public:
  explicit WholeFile(std::filesystem::path path);
  ~WholeFile();
  WholeFile(const WholeFile&) = delete;
  WholeFile& operator=(const WholeFile&) = delete;

  void write(const void* bytes, std::size_t size) { file_.write(bytes, size); }
  void write(const std::string& text) { write(text.data(), text.size()); }
  void commit(Lasting lasting = Lasting::kNow);

 private:
  std::filesystem::path path_;
  OutputFile file_;
  bool committed_ = false;
};

/// The whole content of a WholeFile.
void write_whole_file(const std::filesystem::path& path, const std::string& text);

/// Makes what was created, renamed or removed in `folder` survive a power cut. A file system that
/// cannot is no error.
void flush_folder(const std::filesystem::path& folder);

}  // namespace thaw
