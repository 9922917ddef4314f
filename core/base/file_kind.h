#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace thaw {

/// As many bytes of a file's beginning as tell its kind.
inline constexpr std::size_t kKindBytes = 512;

/// What a file is by its first bytes, for the message of a reader that wanted another kind: "an
/// HDF5 file", with what to do where that is known. "" where nobody can tell. Pure.
std::string kind_of_bytes(std::string_view beginning);

/// "; it is an HDF5 file" for the end of a message of a reader that wanted another kind; of bytes
/// that are text, where it wanted none of that, "; it is a text file". "" where nobody can tell.
/// Pure.
std::string clause_of_bytes(std::string_view beginning);

/// The same of what is at `path`, which may be a folder or not there. Reads the beginning of
/// regular files alone: a pipe would block.
std::string kind_clause(const std::string& path);

}  // namespace thaw
