#pragma once

#include <cstdint>
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace thaw {

class SafetensorsFile;

// Note [Model descriptions]
// Tensors do not say what they are for: which row of the head is which class, how pixels were
// scaled, which pooling and which activation lie between them. Whoever reads weights takes that
// from a configuration and a data file, and where those are others than in training, nothing fails,
// and every figure is wrong. So weights carry a description: JSON under "thaw" in a safetensors
// file's metadata, `model` in a checkpoint's state.json. Readers fill in from it what the
// configuration leaves open, find classes by their names, and refuse what contradicts it
// (launch/run/weights_match.h).
//
// All of it is text and numbers, by name: a family of models adds what it has, and who reads needs
// to know neither the family nor the task. A name that is missing, in a file of an earlier version
// or of another program, is not compared.

/// What a trained network is, beside its tensors: see Note [Model descriptions]. A plain value;
/// members that are empty, or 0, are not known.
struct ModelDescription {
  std::string version = {};       ///< of Thaw, that trained it
  std::string architecture = {};  ///< model.architecture
  /// Options of [model] that decide what the network computes, as text: "pooling", "depth".
  std::map<std::string, std::string> options = {};
  /// What else decides it, by the family's names, as text: Model::settings.
  std::map<std::string, std::string> settings = {};
  std::string task = {};                             ///< TaskKind's name
  std::vector<std::string> classes = {};             ///< of the head's rows, in their order
  bool one_class_a_sample = false;                   ///< whether they exclude each other
  std::vector<std::string> targets = {};             ///< names of the numbers that are predicted
  std::int64_t outputs = 0;                          ///< rows of the head
  std::int64_t channels = 0, height = 0, width = 0;  ///< of images that it was trained on
  std::vector<double> mean = {};                     ///< a number a channel
  std::vector<double> std_deviation = {};
  /// Of those images, what their values were: "bytes" or "numbers".
  std::string pixels = {};
  bool knows_normalisation = false;  ///< whether the two above, when empty, mean: none
  /// What made its tokens, as the data file says: "tokenizer", "tokenizer_sha256", "max_tokens",
  /// "vocabulary_size"; besides "longest", of the samples trained on, and "pairs" where each of
  /// them is two texts: "with types" or "without types".
  std::map<std::string, std::string> tokens = {};

  /// Whether nothing is known but perhaps names of classes.
  bool says_nothing() const { return architecture.empty(); }

  friend bool operator==(const ModelDescription&, const ModelDescription&) = default;
};

/// The key of a safetensors file's metadata that holds one.
inline constexpr const char* kDescriptionKey = "thaw";

/// As JSON, within other values; reading throws as `model_description_from_json` does, and the
/// library's exceptions.
void to_json(nlohmann::ordered_json& json, const ModelDescription& model);
void from_json(const nlohmann::ordered_json& json, ModelDescription& model);

/// One line of JSON.
std::string to_json(const ModelDescription& description);
/// Reads it back. Throws InputError, beginning with `where`, for what is damaged, deeper or longer
/// than a description is, or has two classes of one name. Keys that are not known are passed over.
ModelDescription model_description_from_json(std::string_view json, const std::string& where);

/// What a safetensors file's metadata say: a description, or the classes alone that earlier
/// versions wrote; else one that says nothing. Throws InputError as above, and where the two
/// contradict each other.
ModelDescription description_in(const SafetensorsFile& file);

/// The metadata of a file that is to hold it, with "format", which others look for. A description
/// of which nothing is known is not written.
std::map<std::string, std::string> description_metadata(const ModelDescription& description);

/// Several lines for people, each after `indent`.
std::string describe(const ModelDescription& description, std::string_view indent);

/// Whether the names are but the numbers 0, 1, 2, …, which a data file without names gets.
bool are_numbers(const std::vector<std::string>& names);

/// `names` for a message: the first few, and how many there are.
std::string short_list(const std::vector<std::string>& names);

}  // namespace thaw
