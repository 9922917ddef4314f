#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace thaw {

/// Writes a valid HDF5 file to `path` that `bytes` describe: splits of text or images as Thaw reads
/// them, odd in whatever a file can be odd in: shapes, dtypes, layouts, offsets, values,
/// attributes, links. No bytes at all describe a sound text split. Never more than a few hundred
/// kilobytes, whatever sizes the file claims.
void write_odd_hdf5_file(const std::string& path, const std::uint8_t* bytes, std::size_t size);

}  // namespace thaw
