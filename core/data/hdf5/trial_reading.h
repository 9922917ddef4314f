#pragma once

#include <functional>
#include <string>

namespace thaw {

/// Asks HDF5 for whatever Thaw may ask it for of the file at `path`, and keeps none of it: groups,
/// attributes, shapes, dtypes, layouts, the index of chunks, labels and offsets whole; of chunked
/// samples 64 MiB a split, spread over all of it. Before each part, `at` is told which: `/train`,
/// `the attributes`. Throws InputError as Dataset does. See Note [Files are read on trial].
void read_on_trial(const std::string& path, const std::function<void(const std::string& part)>& at);

}  // namespace thaw
