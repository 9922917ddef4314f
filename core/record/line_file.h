#pragma once

#include <filesystem>
#include <string>

namespace thaw {

/// A text file that lines are added to, each on its way to the disk at once, so that whoever
/// follows the file sees it and a killed process has left it.
///
/// Where the disk is full or does not answer, lines wait in memory and go out, whole and in order,
/// as soon as they can: a log must not end a training of days. Not thread-safe.
class LineFile {
 public:
  /// Creates the file, or with `goes_on` adds to the one that is there. Throws RunError.
  LineFile(std::filesystem::path path, bool goes_on);
  ~LineFile();
  LineFile(const LineFile&) = delete;
  LineFile& operator=(const LineFile&) = delete;

  /// Says so on standard error when lines begin to wait. Throws RunError where more of them wait
  /// than memory should hold.
  void add(const std::string& line);
  /// Waits until what went out is on the disk, so that not even a power cut takes it.
  void flush();
  /// Throws RunError where lines still wait.
  void settle();

 private:
  void write_waiting();

  std::filesystem::path path_;
  int file_ = -1;
  std::string waiting_;
  bool said_ = false;
};

}  // namespace thaw
