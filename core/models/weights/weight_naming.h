#pragma once

#include <string>
#include <utility>
#include <vector>

namespace thaw {

/// How weight files made by others name a model's tensors. Globs as in core/base/glob.h.
struct WeightNaming {
  /// What a file may put before any of the model's names: "bert.".
  std::vector<std::string> prefixes;
  /// Older endings of names, and the model's own: {"LayerNorm.gamma", "LayerNorm.weight"}.
  std::vector<std::pair<std::string, std::string>> old_endings;
  /// Names in files, without prefix, of what this model has no use for: "cls.predictions.*".
  std::vector<std::string> ignored;
  /// The model's tensors that a file may lack; they keep their initial values: "pooler.*".
  std::vector<std::string> optional;
  /// The model's classification layer, which `head = "new"` leaves at its initial values.
  std::vector<std::string> classifier;
};

}  // namespace thaw
