#include "core/models/weights/huggingface_labels.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string_view>
#include <unordered_set>

#include "core/base/error.h"
#include "core/base/json_text.h"
#include "core/models/weights/safetensors.h"

namespace thaw {
namespace {

/// How the usual heads end.
constexpr std::array<std::string_view, 5> kHeads = {
    "classifier.weight", "classifier.out_proj.weight", "score.weight", "fc.weight", "head.weight"};

/// Rows of the file's head; 0 where none is recognised.
std::int64_t rows_of_head(const SafetensorsFile& file) {
  for (const SafetensorsEntry& entry : file.entries()) {
    const bool is_head = std::any_of(kHeads.begin(), kHeads.end(), [&](std::string_view end) {
      // Not "pre_classifier.weight", a layer before it.
      return entry.name == end || entry.name.ends_with("." + std::string(end));
    });
    if (is_head && entry.shape.size() == 2) return entry.shape[0];
  }
  return 0;
}

/// `id2label` as a list; empty where its keys are not 0 to `count` - 1, or two names are one.
std::vector<std::string> names_in(const nlohmann::json& labels, std::int64_t count) {
  std::vector<std::string> names;
  std::unordered_set<std::string> seen;
  for (std::int64_t i = 0; i < count; ++i) {
    const auto found = labels.find(std::to_string(i));
    if (found == labels.end() || !found->is_string()) return {};
    names.push_back(found->get<std::string>());
    if (!seen.insert(names.back()).second) return {};
  }
  return names;
}

/// The config.json beside the weights; an empty object where there is none, or none that can be
/// read: who needs it, reads it as model.config and says what is wrong.
nlohmann::json config_beside(const SafetensorsFile& file) {
  namespace fs = std::filesystem;
  constexpr std::int64_t kLongest = 16 << 20;
  std::error_code ignored;
  const fs::path path = fs::is_directory(file.path(), ignored)
                            ? fs::path(file.path()) / "config.json"
                            : fs::path(file.path()).replace_filename("config.json");
  if (!fs::is_regular_file(path, ignored)) return nlohmann::json::object();
  try {
    return read_json_object<nlohmann::json>(path.string(), kLongest, "config.json");
  } catch (const InputError&) {
    return nlohmann::json::object();
  }
}

}  // namespace

std::vector<std::string> huggingface_labels(const SafetensorsFile& file) {
  const nlohmann::json config = config_beside(file);
  if (!config.contains("id2label")) return {};
  const nlohmann::json& labels = config["id2label"];
  const std::int64_t rows = rows_of_head(file);
  if (!labels.is_object() || rows == 0 || static_cast<std::int64_t>(labels.size()) != rows) {
    return {};
  }
  std::vector<std::string> names = names_in(labels, rows);
  const bool numbered = std::all_of(names.begin(), names.end(), [](const std::string& name) {
    return name.starts_with("LABEL_");
  });
  return numbered ? std::vector<std::string>() : names;
}

std::string huggingface_pooling(const SafetensorsFile& file) {
  const nlohmann::json config = config_beside(file);
  const auto classes = config.find("architectures");
  if (classes == config.end() || !classes->is_array() || classes->size() != 1) return "";
  const nlohmann::json& name = classes->front();
  if (!name.is_string() || !name.get<std::string>().ends_with("ForSequenceClassification")) {
    return "";
  }
  const auto said = config.find("classifier_pooling");
  return said != config.end() && said->is_string() ? said->get<std::string>() : "cls";
}

}  // namespace thaw
