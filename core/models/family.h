#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace thaw {

class Model;
struct ModelDescription;
struct ModelOptions;

// Note [Model families]
// A family is one room of core/models and a line of core/config/model_families.inc. The line has
// what is known before there is a model: its name, its input group, which options it reads. All
// else that tells it from another is its ModelFamily and the Model that this makes: groups in their
// order, how weight files name its tensors, the data that it takes, its export. Nothing outside the
// room knows a family by name or includes its headers; a test of tests/structure sees to that.

/// What the rows of a model's result are: what the task that is learnt asks for.
enum class OutputRows {
  kSamples,  ///< [n, classes]: a row a sample
  kTokens,   ///< [T, classes]: a row a token of the batch, in its order
  /// [n, 2], float32 or float64, a row a sample: the sum over its counted tokens (Note [Counted
  /// tokens], core/tasks/causal_language.cpp) of -log p of each, in nats, which autograd follows;
  /// and how many of them are the most likely token, which it does not. `classes` means nothing.
  kNextTokens,
};

/// What a model must know of the data that it will get, and of what is wanted of it.
struct InputFacts {
  enum class Kind { kText, kImages };
  Kind kind = Kind::kImages;
  std::int64_t channels = 0, height = 0, width = 0;  ///< images
  std::int64_t largest_token = -1;                   ///< text: largest id in the data
  std::int64_t longest_sample = 0;                   ///< text: tokens
  std::int64_t largest_type = 0;                     ///< text pairs: of their tokens
  OutputRows rows = OutputRows::kSamples;            ///< of the result; the family gives them
};

/// Makes a model, float32, on the host, with initial values drawn from `seed`
/// (core/models/layers/initialization.h); where `options.weights` names a file that will be loaded,
/// only those that it need not hold. `input` is of the family's kind, and `options` has none that
/// are not of the family; the family gives `input.rows`. Throws InputError for options or data that
/// do not fit it.
using ModelBuilder =
    std::function<std::shared_ptr<Model>(const ModelOptions& options, std::int64_t classes,
                                         const InputFacts& input, std::uint64_t seed)>;

/// The shape of a stored weight, by the model's name for it; nothing where there is none.
using ShapeOfWeight =
    std::function<std::optional<std::vector<std::int64_t>>(const std::string& name)>;

/// Writes a trained model of the family, which `options` describe, and whose classes stand in
/// `trained` with all else that its file is to say of it, for Hugging Face's transformers
/// into `folder`, whole or not at all. Returns what the folder's users must know, as lines; empty:
/// nothing. Throws InputError for a folder that holds such files.
using HuggingFaceExport =
    std::function<std::string(const std::string& folder, const Model& model,
                              const ModelOptions& options, const ModelDescription& trained)>;

/// A family of models: Note [Model families]. Called on every rank, on one thread.
struct ModelFamily {
  InputFacts::Kind takes = InputFacts::Kind::kImages;      ///< other data is refused before `make`
  std::vector<OutputRows> gives = {OutputRows::kSamples};  ///< as is a task that wants others
  ModelBuilder make = {};
  /// What can be told of the data that weights were trained on, to make the model without it.
  /// Empty: nothing but the kind.
  std::function<InputFacts(const ShapeOfWeight& shape_of)> trained_on = {};
  HuggingFaceExport export_huggingface = {};  ///< empty: there is none
  std::string instead_of_export = {};         ///< then: what else serves; ends the refusal
};

}  // namespace thaw
