#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/models/weights/safetensors.h"

namespace thaw {

/// What stands in a safetensors header, checked.
struct SafetensorsHeader {
  SafetensorsFile::Metadata metadata;
  std::vector<SafetensorsEntry> entries;  ///< in the order of their data
};

/// Parses and checks the JSON of a header whose file has `data_bytes` after it. `path` is for
/// messages. Takes memory for the header's own contents alone, whatever sizes it claims.
/// Throws InputError, as SafetensorsFile says.
SafetensorsHeader parse_safetensors_header(std::string_view json, std::uint64_t data_bytes,
                                           const std::string& path);

/// Bytes of one element, and the dtype; throws nothing, dtype is Undefined for an unknown name.
at::ScalarType safetensors_scalar_type(std::string_view name);

}  // namespace thaw
