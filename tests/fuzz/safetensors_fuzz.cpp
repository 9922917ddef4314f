// safetensors: a whole file; or, where the first byte is 1, a header after three bytes of which two
// are the data section's length, so that not every input must guess the lengths.

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <set>
#include <string>
#include <string_view>

#include "core/base/error.h"
#include "core/models/weights/safetensors_header.h"
#include "core/models/weights/safetensors_parts.h"

namespace {

std::string file_around(std::string_view header, std::size_t data_bytes) {
  std::string file(sizeof(std::uint64_t), '\0');
  const std::uint64_t length = header.size();
  std::memcpy(file.data(), &length, sizeof length);
  file += header;
  file.append(data_bytes, '\7');
  return file;
}

void require(bool condition) {
  if (!condition) std::abort();
}

/// What SafetensorsFile relies on: each tensor's bytes are all there, and nobody else's.
void check(std::string_view file) {
  const std::string path = "f.safetensors";
  thaw::SafetensorsHeader header;
  thaw::SafetensorsParts parts;
  try {
    parts = thaw::safetensors_parts(file, path);
    header = thaw::parse_safetensors_header(parts.header, parts.data.size(), path);
  } catch (const thaw::InputError& error) {
    require(std::string_view(error.what()).starts_with(path));
    return;
  }
  std::set<std::string> names;
  std::uint64_t covered = 0;
  for (const thaw::SafetensorsEntry& entry : header.entries) {
    require(names.insert(entry.name).second && entry.begin == covered);
    covered = entry.end;
    require(entry.begin <= entry.end && entry.end <= parts.data.size());
    std::uint64_t elements = 1;
    for (const std::int64_t dimension : entry.shape) {
      require(dimension >= 0);
      elements *= static_cast<std::uint64_t>(dimension);
    }
    const std::string dtype = thaw::safetensors_dtype(entry.dtype);
    require(!dtype.empty() && (elements == 0) == (entry.begin == entry.end));
    require(elements == 0 || (entry.end - entry.begin) % elements == 0);
  }
  require(covered == parts.data.size());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  if (size >= 3 && data[0] == 1) {
    check(file_around(input.substr(3), data[1] + 256U * data[2]));
  } else {
    check(input);
  }
  return 0;
}
