#include "core/data/hdf5/trial_reading.h"

#include <algorithm>
#include <cstddef>
#include <vector>

#include "core/data/hdf5/chunked_byte_store.h"
#include "core/data/hdf5/dataset_attributes.h"
#include "core/data/hdf5/hdf5_dataset.h"
#include "core/data/hdf5/hdf5_file.h"
#include "core/data/hdf5/split_reader.h"

namespace thaw {
namespace {

constexpr std::int64_t kBlockBytes = 256 << 10;
constexpr std::int64_t kDecodedBytes = 64 << 20;

/// Blocks of chunks at equal distances, the first and the last among them.
void decode_some(const Hdf5Dataset& dataset) {
  dataset.require_credible();
  const std::int64_t rows = dataset.rows();
  const std::int64_t block_rows = rows_of_block(dataset, kBlockBytes);
  const std::int64_t block_bytes = dataset.bytes() / std::max<std::int64_t>(1, rows) * block_rows;
  const std::int64_t blocks = (rows + block_rows - 1) / block_rows;
  const std::int64_t wanted = kDecodedBytes / std::max<std::int64_t>(1, block_bytes);
  const std::int64_t decoded = std::clamp<std::int64_t>(wanted, std::min<std::int64_t>(blocks, 2),
                                                        std::max<std::int64_t>(blocks, 1));
  std::vector<std::byte> bytes(block_bytes);
  for (std::int64_t i = 0; i < decoded; ++i) {
    const std::int64_t block = decoded == 1 ? 0 : i * (blocks - 1) / (decoded - 1);
    const std::int64_t first = block * block_rows;
    dataset.read_rows(first, std::min(first + block_rows, rows), bytes.data());
  }
}

}  // namespace

void read_on_trial(const std::string& path,
                   const std::function<void(const std::string& part)>& at) {
  at("its index");
  const Hdf5File file(path);
  at("the attributes");
  read_attributes(file);
  at("its index");
  SplitReader reader(file);
  for (const std::string& name : reader.names()) {
    at("/" + name);
    const FileSplit split = reader.read(name);
    if (split.part.chunked) decode_some(*split.part.chunked);
  }
}

}  // namespace thaw
