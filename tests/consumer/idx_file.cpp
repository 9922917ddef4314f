#include "idx_file.h"

#include <zlib.h>

#include <algorithm>
#include <memory>
#include <stdexcept>

namespace {

constexpr std::int64_t kLargest = std::int64_t{1} << 30;

void read_exactly(gzFile file, const std::string& path, void* memory, std::int64_t size) {
  if (gzread(file, memory, static_cast<unsigned>(size)) != size) {
    throw std::runtime_error(path + ": ends too early");
  }
}

}  // namespace

IdxFile read_idx(const std::string& path, std::int64_t most) {
  const std::unique_ptr<gzFile_s, int (*)(gzFile)> file(gzopen(path.c_str(), "rb"), gzclose);
  if (!file) throw std::runtime_error(path + ": cannot be opened");
  std::uint8_t head[4];
  read_exactly(file.get(), path, head, 4);
  if (head[0] != 0 || head[1] != 0 || head[2] != 8 || head[3] == 0) {
    throw std::runtime_error(path + ": is no IDX file of bytes");
  }
  IdxFile idx;
  std::int64_t size = 1;
  for (int i = 0; i < head[3]; ++i) {
    std::uint8_t b[4];
    read_exactly(file.get(), path, b, 4);
    std::int64_t length = std::int64_t{b[0]} << 24 | b[1] << 16 | b[2] << 8 | b[3];
    if (i == 0) length = std::min(length, most);
    if (length == 0 || length > kLargest / size) throw std::runtime_error(path + ": too large");
    idx.shape.push_back(length);
    size *= length;
  }
  idx.bytes.resize(static_cast<std::size_t>(size));
  read_exactly(file.get(), path, idx.bytes.data(), size);
  return idx;
}
