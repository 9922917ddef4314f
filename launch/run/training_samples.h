#pragma once

#include <string>
#include <vector>

namespace thaw {

class Dataset;
struct DataOptions;

/// Leaves of the training split, where it is among `splits`, which are those that will be read,
/// what data.fraction and data.per-class say. Alike on all ranks. Throws InputError where samples
/// have no class each and are to be chosen by class, and for what Dataset::narrow refuses.
void narrow_training_data(Dataset& dataset, const DataOptions& options,
                          const std::vector<std::string>& splits);

}  // namespace thaw
