#pragma once

#include <string>

namespace thaw {

class Dataset;

/// Reads all of a split of float32 images once, at the speed of the disk; nothing of other data.
/// Throws InputError that names file, array and sample of a value that is no number or infinite:
/// one such pixel makes all weights no numbers. Needs Split::prepare.
void require_finite_values(const Dataset& dataset, const std::string& split);

}  // namespace thaw
