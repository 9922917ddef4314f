#pragma once

#include <string>
#include <vector>

namespace thaw {

/// Has thaw-hdf5-probe, which lies beside this command, read the data files `files` before this
/// process does: see Note [Files are read on trial]. Throws InputError for those that cannot be
/// read, or that crash HDF5's library, a line each. Where that program is not there, says so on
/// standard error and returns.
void try_data_files(const std::vector<std::string>& files);

}  // namespace thaw
