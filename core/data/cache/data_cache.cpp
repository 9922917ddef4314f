#include "core/data/cache/data_cache.h"

#include <fmt/format.h>

#include <algorithm>
#include <new>
#include <utility>
#include <vector>

#include "core/base/error.h"
#include "core/base/system.h"
#include "core/data/cache/cache_file.h"
#include "core/data/cache/checked_byte_store.h"
#include "core/data/hdf5/byte_store.h"
#include "core/data/hdf5/chunked_byte_store.h"
#include "core/data/hdf5/hdf5_dataset.h"
#include "core/data/hdf5/hdf5_file.h"

namespace thaw {
namespace {

/// Decoded at a time: few enough for a lively progress line, enough to outweigh a call.
constexpr std::int64_t kDecodeBytes = 8 << 20;
/// So little may be in memory once a process rather than once a host.
constexpr std::int64_t kSmallBytes = 256 << 20;

/// What each process of the host may take; a tenth stays for everything else.
std::int64_t memory_for_each(int local_processes) {
  return available_memory() / 10 * 9 / local_processes;
}

std::unique_ptr<ByteStore> decode_to_memory(const Hdf5Dataset& dataset,
                                            const DataCacheOptions& options) {
  const std::int64_t available = available_memory();
  if (dataset.bytes() > memory_for_each(options.local_processes)) {
    throw InputError(fmt::format(
        "{}: decoded it takes {} in memory ({} processes of this host hold it), {} are available; "
        "set data.cache to a folder with as much room, or rewrite the file without chunks "
        "(h5repack -l CONTI)",
        dataset.where(), memory_text(dataset.bytes()), options.local_processes,
        memory_text(available)));
  }
  // Not make_unique: it would write zeros first.
  std::unique_ptr<std::byte[]> bytes(new (std::nothrow) std::byte[dataset.bytes()]);
  if (!bytes) {
    throw InputError(fmt::format("{}: no memory for the {} that it takes decoded", dataset.where(),
                                 memory_text(dataset.bytes())));
  }
  decode(dataset, bytes.get(), {.progress = options.progress});
  return std::make_unique<MemoryByteStore>(
      std::move(bytes), fmt::format("decoded into memory ({} of {} available)",
                                    memory_text(dataset.bytes()), memory_text(available)));
}

/// Decodes some bytes of a dataset anew. Its file is opened for that alone: one that is open for
/// weeks could not be written to.
CheckedByteStore::DecodeAgain decoder_of(std::string file, std::string name) {
  return [file = std::move(file), name = std::move(name)](std::int64_t offset, std::int64_t size,
                                                          std::byte* memory) {
    const Hdf5File opened(file);
    const Hdf5Dataset dataset = opened.dataset(name);
    const std::int64_t row = dataset.bytes() / std::max<std::int64_t>(1, dataset.rows());
    if (row == 0 || offset + size > dataset.bytes()) {
      throw InputError(dataset.where() + ": has another shape now");
    }
    const std::int64_t first = offset / row;
    const std::int64_t last = (offset + size + row - 1) / row;
    std::vector<std::byte> rows(static_cast<std::size_t>((last - first) * row));
    dataset.read_rows(first, last, rows.data());
    std::copy_n(rows.data() + (offset - first * row), size, memory);
  };
}

std::unique_ptr<ByteStore> decode_to_folder(const Hdf5Dataset& dataset, const std::string& folder,
                                            const DataCacheOptions& options) {
  CacheFile cache(folder, dataset, options.progress);
  bool fresh = false;
  auto file = cache.open([&](std::byte* memory, const DecodeCalls& calls) {
    fresh = true;
    decode(dataset, memory, calls);
  });
  const std::string how = fresh ? "decoded into " : "found decoded in ";
  const std::string path = file->path();
  return std::make_unique<CheckedByteStore>(std::move(file), CacheFile::kHeaderBytes,
                                            dataset.bytes(), cache.checks(),
                                            decoder_of(dataset.file(), dataset.name()), how + path);
}

/// Memory where it is plentiful and the work is not done again by every process of the host.
bool memory_is_cheap(const Hdf5Dataset& dataset, int local_processes) {
  return dataset.bytes() <= available_memory() / 2 / local_processes &&
         (local_processes == 1 || dataset.bytes() <= kSmallBytes);
}

}  // namespace

void decode(const Hdf5Dataset& dataset, std::byte* memory, const DecodeCalls& calls) {
  const DecodeProgress& progress = calls.progress;
  const std::int64_t rows = dataset.rows();
  const std::int64_t row_bytes = dataset.bytes() / std::max<std::int64_t>(1, rows);
  const std::int64_t step = rows_of_block(dataset, kDecodeBytes);
  for (std::int64_t first = 0; first < rows; first += step) {
    if (progress) progress(dataset.where(), first * row_bytes, dataset.bytes());
    const std::int64_t last = std::min(first + step, rows);
    if (calls.before) calls.before(memory + first * row_bytes, (last - first) * row_bytes);
    dataset.read_rows(first, last, memory + first * row_bytes);
  }
  if (progress) progress(dataset.where(), dataset.bytes(), dataset.bytes());
}

std::unique_ptr<ByteStore> open_chunked(std::shared_ptr<const Hdf5Dataset> dataset,
                                        const DataCacheOptions& options,
                                        const std::shared_ptr<BlockCache>& blocks) {
  dataset->require_credible();
  if (options.mode == "off") {
    return std::make_unique<ChunkedByteStore>(std::move(dataset), blocks);
  }
  if (options.mode == "memory") return decode_to_memory(*dataset, options);
  if (options.mode != "auto") return decode_to_folder(*dataset, options.mode, options);
  const int processes = options.local_processes;
  if (memory_is_cheap(*dataset, processes)) return decode_to_memory(*dataset, options);
  const std::string folder = default_cache_folder();
  const bool no_room = room_in(folder) < dataset->bytes() + CacheFile::kHeaderBytes;
  if (no_room && dataset->bytes() <= memory_for_each(processes)) {
    return decode_to_memory(*dataset, options);
  }
  return decode_to_folder(*dataset, folder, options);
}

}  // namespace thaw
