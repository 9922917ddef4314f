#pragma once

#include <cstdint>
#include <string>

namespace thaw {

/// Throws InputError where `dataset`, an open HDF5 dataset, takes its values from another file that
/// is not there, or that does not hold what is taken: HDF5 itself reads zeros in its place, without
/// a word. Also where values have no source at all. Does nothing where they are in its own file.
/// `where`: the dataset in messages; `file`: the path of its file.
void require_sources(std::int64_t dataset, const std::string& where, const std::string& file);

}  // namespace thaw
