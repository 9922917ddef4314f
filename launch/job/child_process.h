#pragma once

#include <sys/types.h>

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "core/base/error.h"

namespace thaw {

/// An open file of this process, closed with it; programs that are started do not inherit it.
class Descriptor {
 public:
  explicit Descriptor(int number) : number_(number) {}
  ~Descriptor();
  Descriptor(Descriptor&& other) noexcept;
  Descriptor& operator=(Descriptor&&) = delete;

  /// A new file, of a name of this program's own (`open_own_file`), that takes what is written to
  /// it. Throws RunError where it cannot be made.
  static Descriptor create(const std::filesystem::path& path);
  /// Whatever is written is gone, whatever is read at its end: /dev/null.
  static Descriptor nothing();

  int number() const { return number_; }

 private:
  int number_;
};

/// A program to be started.
struct ProcessRequest {
  std::vector<std::string> command;           ///< found on PATH where its first word has no slash
  std::vector<std::string> environment = {};  ///< "NAME=value" each: beside this process's own
  /// Its standard input, output and errors; -1: those of this process.
  int input = -1;
  int output = -1;
  int errors = -1;
  bool own_group = false;  ///< a process group of its own: the terminal's Ctrl-C does not reach it
};

/// The program could not be started; the message says which and why.
class ProcessNotStarted : public RunError {
 public:
  using RunError::RunError;
};

/// A program that this process started: the one way in which the command starts any.
///
/// It does not outlive who started it: the destructor ends it with SIGTERM (unless
/// it has got one) and waits; and it gets
/// SIGTERM where this process dies in whatever way, or where the thread that started it ends, so
/// the main thread is the one to start programs. See Note [How programs are started].
class ChildProcess {
 public:
  /// Throws ProcessNotStarted.
  explicit ChildProcess(const ProcessRequest& request);
  ~ChildProcess();
  ChildProcess(ChildProcess&& other) noexcept;
  ChildProcess& operator=(ChildProcess&&) = delete;

  /// Its exit status as a shell has it, 128 plus the signal that killed it; nothing while it runs.
  /// Does not wait.
  std::optional<int> poll();
  /// Waits for its end. The same status.
  int wait();

  /// Sends it a signal, if it still runs.
  void signal(int number);
  /// Kills whatever is left of its own group (`own_group`), the program itself included.
  void kill_group() const;

 private:
  /// Reaps it, if it has ended, or when it has where `options` is 0.
  std::optional<int> reap(int options);

  pid_t process_ = -1;  ///< its group's number too, where it has one; -1: moved from
  std::optional<int> status_;
  bool told_to_end_ = false;  ///< by SIGTERM
};

}  // namespace thaw
