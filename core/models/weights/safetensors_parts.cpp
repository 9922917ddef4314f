#include "core/models/weights/safetensors_parts.h"

#include <fmt/format.h>

#include <cstring>

#include "core/base/error.h"
#include "core/base/file_kind.h"

namespace thaw {
namespace {

/// What a file is instead, as a clause for the message; "" where it may be a safetensors file after
/// all, damaged or cut short.
std::string other_kind(std::string_view bytes) {
  const std::string kind = clause_of_bytes(bytes.substr(0, kKindBytes));
  return kind.starts_with("; it is a safetensors file") ? "" : kind;
}

}  // namespace

SafetensorsParts safetensors_parts(std::string_view file, const std::string& path) {
  constexpr std::size_t kLengthBytes = sizeof(std::uint64_t);
  std::uint64_t length = 0;
  if (file.size() < kLengthBytes) {
    throw InputError(fmt::format("{}: not a safetensors file: it has {} bytes{}", path, file.size(),
                                 file.empty() ? "" : other_kind(file)));
  }
  std::memcpy(&length, file.data(), kLengthBytes);
  if (length > kLongestSafetensorsHeader || length > file.size() - kLengthBytes) {
    throw InputError(
        fmt::format("{}: not a safetensors file, or cut short: a header of {} bytes in a file of "
                    "{}{}",
                    path, length, file.size(), other_kind(file)));
  }
  const SafetensorsParts parts{file.substr(kLengthBytes, length),
                               file.substr(kLengthBytes + length)};
  if (!parts.header.starts_with('{')) {
    throw InputError(
        fmt::format("{}: not a safetensors file: its header does not begin with "
                    "\"{{\"{}",
                    path, other_kind(file)));
  }
  return parts;
}

}  // namespace thaw
