#pragma once

#include <cstdint>
#include <string>
#include <vector>

/// An array of bytes as the MNIST family's files hold it (IDX), compressed by gzip or not.
struct IdxFile {
  std::vector<std::int64_t> shape;
  std::vector<std::uint8_t> bytes;
};

/// Reads the first `most` entries of the first dimension, or all. Throws std::runtime_error.
IdxFile read_idx(const std::string& path, std::int64_t most);
