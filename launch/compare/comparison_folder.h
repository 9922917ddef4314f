#pragma once

#include <filesystem>
#include <string>

namespace thaw {

// What `thaw compare` keeps on the disk, beside its reports: RUN.log and RUN/ for each run, and in
// RUN/ what `thaw evaluate` said of its weights. To be changed by who holds the comparison's lease.

/// What `thaw evaluate` said of a run's weights on a split; there once it has ended well.
std::filesystem::path measured_of(const std::filesystem::path& run_folder,
                                  const std::string& split);
/// Where that goes while it is being said.
std::filesystem::path partial_of(const std::filesystem::path& measured);

/// Whether a file is a lease of the folder that it lies in.
bool is_lease(const std::filesystem::path& path);

/// Empties the folder of a run `run_folder`, below `folder`: what a run left that did not end is no
/// run. Throws InputError where one has not ended yet, or where a link stands on the way there.
void start_anew(const std::filesystem::path& folder, const std::filesystem::path& run_folder);

/// Removes what killed comparisons have left half written: no other program's files, and nothing
/// behind links.
void remove_half_written(const std::filesystem::path& folder) noexcept;

}  // namespace thaw
