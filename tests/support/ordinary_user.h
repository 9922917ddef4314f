#pragma once

#include <unistd.h>

namespace thaw {

/// While one lives, the process may do no more than an ordinary user: root, as which containers run
/// their tests, may read and write everything.
class OrdinaryUser {
 public:
  OrdinaryUser() : before_(::geteuid()) {
    // The real id too, which access(2) goes by; the saved one is the way back.
    if (before_ == 0) succeeded_ = ::setresuid(kNobody, kNobody, before_) == 0;
  }
  ~OrdinaryUser() {
    if (before_ == 0 && ::setresuid(before_, before_, before_) != 0) ::_exit(1);
  }
  OrdinaryUser(const OrdinaryUser&) = delete;
  OrdinaryUser& operator=(const OrdinaryUser&) = delete;

  bool succeeded() const { return succeeded_; }

 private:
  static constexpr uid_t kNobody = 65534;
  uid_t before_;
  bool succeeded_ = true;
};

}  // namespace thaw
