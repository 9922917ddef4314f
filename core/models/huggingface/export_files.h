#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

namespace thaw {

struct ModelDescription;
struct ModelOptions;

/// Names of a Hugging Face folder's files.
inline constexpr const char* kConfigFile = "config.json";
inline constexpr const char* kWeightsFile = "model.safetensors";
inline constexpr const char* kTokenizerFile = "tokenizer.json";
inline constexpr const char* kTokenizerConfigFile = "tokenizer_config.json";

/// A JSON file and its text, which is copied to the letter where it is not changed.
struct JsonFile {
  std::string text;
  nlohmann::ordered_json value;  ///< an object
};

/// Throws InputError for what is no JSON object, or deeper than such files are.
JsonFile read_json_file(const std::filesystem::path& path);

/// A tokenizer.json, likewise. Its vocabulary may have any size, so members are in no order.
struct TokenizerFile {
  std::string text;
  nlohmann::json value;
};

/// Throws InputError, likewise, and where it is known to be another than the one of training.
TokenizerFile read_tokenizer(const std::filesystem::path& path, const ModelDescription& trained);

/// The tokenizer that the options name, else the one that lies beside config.json; empty: none.
std::filesystem::path tokenizer_of(const ModelOptions& options);

/// Files of an export, by name, with their texts.
using ExportTexts = std::vector<std::pair<std::string, std::string>>;

/// Makes the folder. Throws InputError where it cannot be made or holds one of the files already.
void prepare_export_folder(const std::filesystem::path& folder,
                           const std::vector<std::string>& names);

}  // namespace thaw
