#pragma once

#include <cstddef>
#include <memory>

#include "core/base/hash.h"

namespace thaw {

/// The fingerprint of bytes that come piece by piece: equal to `fingerprint` of all together.
class RunningHash {
 public:
  RunningHash();
  ~RunningHash();
  RunningHash(const RunningHash&) = delete;
  RunningHash& operator=(const RunningHash&) = delete;

  void add(const void* bytes, std::size_t size);
  /// Of everything added so far.
  Fingerprint value() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace thaw
