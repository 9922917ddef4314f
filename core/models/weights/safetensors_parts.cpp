#include "core/models/weights/safetensors_parts.h"

#include <fmt/format.h>

#include <cstring>

#include "core/base/error.h"

namespace thaw {
namespace {

/// What a file that is no safetensors probably is, as a clause for the message.
std::string guess_kind(std::string_view bytes) {
  if (bytes.starts_with("version https://git-lfs")) {
    return "; it is a Git LFS pointer: fetch the file itself with `git lfs pull`";
  }
  if (bytes.starts_with("PK\x03\x04") || bytes.starts_with("\x80\x02")) {
    return "; it looks like a PyTorch pickle (.bin, .pt): convert it with Python's "
           "safetensors.torch.save_file";
  }
  return "";
}

}  // namespace

SafetensorsParts safetensors_parts(std::string_view file, const std::string& path) {
  constexpr std::size_t kLengthBytes = sizeof(std::uint64_t);
  std::uint64_t length = 0;
  if (file.size() < kLengthBytes) {
    throw InputError(fmt::format("{}: not a safetensors file: it has {} bytes", path, file.size()));
  }
  std::memcpy(&length, file.data(), kLengthBytes);
  if (length > kLongestSafetensorsHeader || length > file.size() - kLengthBytes) {
    throw InputError(
        fmt::format("{}: not a safetensors file, or cut short: a header of {} bytes in a file of "
                    "{}{}",
                    path, length, file.size(), guess_kind(file)));
  }
  const SafetensorsParts parts{file.substr(kLengthBytes, length),
                               file.substr(kLengthBytes + length)};
  if (!parts.header.starts_with('{')) {
    throw InputError(
        fmt::format("{}: not a safetensors file: its header does not begin with "
                    "\"{{\"{}",
                    path, guess_kind(file)));
  }
  return parts;
}

}  // namespace thaw
