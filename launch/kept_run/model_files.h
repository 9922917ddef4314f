#pragma once

#include <filesystem>

#include "core/record/run_folder.h"

namespace thaw {

class Dataset;
struct ModelOptions;

/// Copies what the network is described by, config.json, and what made its tokens, tokenizer.json
/// with the settings that lie beside it, into a run's folder, so that the run is understood
/// wherever it goes. The tokenizer is the one that `options` name, or that lies beside weights or
/// config.json and may be the one behind the data's tokens. To be called by who holds the folder's
/// lease. Throws RunError where the folder cannot be written; what cannot be read is left out.
void keep_model_files(const RunFolder& folder, const ModelOptions& options, const Dataset& dataset);

/// Where these copies lie.
std::filesystem::path kept_config(const RunFolder& folder);
std::filesystem::path kept_tokenizer(const RunFolder& folder);

}  // namespace thaw
