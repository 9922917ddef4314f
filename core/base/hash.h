#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

namespace thaw {

/// A 128-bit fingerprint (XXH3), equal on all hosts for equal bytes. Not cryptographic.
struct Fingerprint {
  std::uint64_t low = 0;
  std::uint64_t high = 0;
  friend bool operator==(const Fingerprint&, const Fingerprint&) = default;
  /// 32 lower-case hexadecimal digits.
  std::string hex() const;
};

Fingerprint fingerprint(const void* bytes, std::size_t size);
inline Fingerprint fingerprint(std::string_view text) {
  return fingerprint(text.data(), text.size());
}

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
