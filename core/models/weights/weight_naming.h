#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace thaw {

/// Another library's name for tensors of the model's. In it `#` stands for a number, and `*` at the
/// end for anything; the model's names have the same, in the same order:
/// {"blocks.#.norm1.*", {"encoder.layer.#.layernorm_before.*"}}.
struct WeightAlias {
  std::string theirs = {};
  /// Several: their tensor has the rows of these, as many each, one below the other.
  std::vector<std::string> own = {};
  /// Dimensions of size 1 that their tensor ends with and the model's lacks.
  std::int64_t ones = 0;

  /// The model's names for a tensor that they call `name`; empty where it is none of these.
  std::vector<std::string> own_names(const std::string& name) const;
  /// The other way round; nothing where `own_name` is none of these.
  std::optional<std::string> their_name(const std::string& own_name) const;
};

/// How weight files made by others name a model's tensors. Globs as in core/base/glob.h.
struct WeightNaming {
  /// What a file may put before any of the model's names: "bert.".
  std::vector<std::string> prefixes = {};
  /// What the model's own names begin with and files of a part of it leave out: "model." of a
  /// decoder that was saved without its head.
  std::string own_prefix = {};
  /// Older endings of names, and the model's own: {"LayerNorm.gamma", "LayerNorm.weight"}.
  std::vector<std::pair<std::string, std::string>> old_endings = {};
  /// Names by other libraries, looked at where a name is none of the model's.
  std::vector<WeightAlias> aliases = {};
  /// Names in files, without prefix, of what this model has no use for: "cls.predictions.*".
  std::vector<std::string> ignored = {};
  /// Names in files of tensors that are another of the model's, by its name: {"lm_head.weight",
  /// "model.embed_tokens.weight"}. A file may have either, or both if they are equal.
  std::vector<std::pair<std::string, std::string>> tied = {};
  /// The model's tensors that a file may lack; they keep their initial values: "pooler.*".
  std::vector<std::string> optional = {};
  /// The model's classification layer, which `head = "new"` leaves at its initial values.
  std::vector<std::string> classifier = {};
};

}  // namespace thaw
