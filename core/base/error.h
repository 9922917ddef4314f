#pragma once

#include <stdexcept>
#include <string>

namespace thaw {

/// What a rank's process ends with. Scripts rely on these numbers.
enum class ExitStatus : int {
  kDone = 0,
  kBadInput = 2,      ///< bad input or configuration, found before training
  kFailed = 3,        ///< failed while running
  kDisagreement = 4,  ///< ranks disagree, or one does not answer
  kRequeue = 75,      ///< stopped early on request with everything saved
};

/// Base of all errors that Thaw throws on purpose; `what()` says what, where and what to do.
class Error : public std::runtime_error {
 public:
  Error(ExitStatus status, const std::string& message)
      : std::runtime_error(message), status_(status) {}
  ExitStatus status() const noexcept { return status_; }

  /// True where every rank throws this same error together, so that one of them prints it and all
  /// can end in order. Otherwise the others do not know of it yet.
  bool agreed() const noexcept { return agreed_; }
  void mark_agreed() noexcept { agreed_ = true; }

 private:
  ExitStatus status_;
  bool agreed_ = false;
};

/// Bad input: configuration, data file, weights, environment. Nothing has been written yet.
class InputError : public Error {
 public:
  explicit InputError(const std::string& message) : Error(ExitStatus::kBadInput, message) {}
};

/// Something failed while running: a full disk, a collective that broke, a file that vanished.
class RunError : public Error {
 public:
  explicit RunError(const std::string& message) : Error(ExitStatus::kFailed, message) {}
};

/// Ranks hold different plans, or one of them does not answer.
class DisagreementError : public Error {
 public:
  explicit DisagreementError(const std::string& message)
      : Error(ExitStatus::kDisagreement, message) {}
};

}  // namespace thaw
