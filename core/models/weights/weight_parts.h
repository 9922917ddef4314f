#pragma once

#include <cstddef>
#include <string>
#include <unordered_map>
#include <vector>

namespace thaw {

/// The files that weights lie in.
struct WeightParts {
  std::vector<std::string> files;
  /// By an index: the file of each tensor, as its number in `files`. Empty without one.
  std::unordered_map<std::string, std::size_t> holders;
};

/// What `path` stands for: a safetensors file; a model in several parts, by their index
/// (`model.safetensors.index.json`, as Hugging Face writes it beside them); or a folder, by
/// whichever of the two it holds. Parts are not opened. Throws InputError for a folder without
/// either, and for an index that is none or that names files elsewhere than beside itself.
WeightParts find_weight_parts(const std::string& path);

}  // namespace thaw
