#include "core/models/weights/model_description.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <unordered_set>

#include "core/base/error.h"
#include "core/base/json_fields.h"
#include "core/base/json_text.h"
#include "core/base/text_bytes.h"
#include "core/models/weights/safetensors.h"

namespace thaw {
namespace {

/// Longer than a description with a million classes. A tree of JSON takes some 16 times its text.
constexpr std::size_t kLongestDescription = 64 << 20;

// All may be missing: Note [Model descriptions].
void describe(auto fields, Described<ModelDescription> auto& model) {
  fields.added("version", model.version);
  fields.added("architecture", model.architecture);
  fields.added("options", model.options);
  fields.added("settings", model.settings);
  fields.added("task", model.task);
  fields.added("classes", model.classes);
  fields.added("one_class_a_sample", model.one_class_a_sample);
  fields.added("targets", model.targets);
  fields.added("outputs", model.outputs);
  fields.added("channels", model.channels);
  fields.added("height", model.height);
  fields.added("width", model.width);
  fields.added("knows_normalisation", model.knows_normalisation);
  fields.added("pixels", model.pixels);
  fields.added("mean", model.mean);
  fields.added("std", model.std_deviation);
  fields.added("tokens", model.tokens);
}

void require_distinct_names(const std::vector<std::string>& names, const std::string& where) {
  std::unordered_set<std::string_view> seen;
  for (const std::string& name : names) {
    if (seen.insert(name).second) continue;
    throw InputError(fmt::format("{}: two of the names are \"{}\"", where, printable(name)));
  }
}

void check_description(const ModelDescription& model) {
  require_distinct_names(model.classes, "classes");
  require_distinct_names(model.targets, "targets");
  const auto named =
      static_cast<std::int64_t>(std::max(model.classes.size(), model.targets.size()));
  if (model.outputs < 0 || (model.outputs > 0 && named > 0 && named != model.outputs)) {
    throw InputError(fmt::format("{} names for {} outputs", named, model.outputs));
  }
  if (model.mean.size() != model.std_deviation.size()) {
    throw InputError(
        fmt::format("mean has {} numbers, std {}", model.mean.size(), model.std_deviation.size()));
  }
}

/// The list that earlier versions wrote, and who reads classes alone looks for.
std::vector<std::string> classes_in(const SafetensorsFile& file) {
  const auto found = file.metadata().find("classes");
  if (found == file.metadata().end()) return {};
  const std::string where = fmt::format("{}: the metadata's \"classes\"", file.path());
  try {
    if (found->second.size() > kLongestDescription || json_is_deeper(found->second, 1)) {
      throw InputError(where + " is longer or deeper than a list of names is");
    }
    const auto names = nlohmann::json::parse(found->second).get<std::vector<std::string>>();
    require_distinct_names(names, where);
    return names;
  } catch (const nlohmann::json::exception&) {
    throw InputError(where + " is not a JSON list of strings");
  }
}

}  // namespace

void to_json(nlohmann::ordered_json& json, const ModelDescription& model) {
  describe(JsonWriter(json), model);
}

void from_json(const nlohmann::ordered_json& json, ModelDescription& model) {
  describe(JsonReader(json), model);
  check_description(model);
}

std::string to_json(const ModelDescription& description) {
  return json_text(nlohmann::ordered_json(description));
}

ModelDescription model_description_from_json(std::string_view json, const std::string& where) {
  if (json.size() > kLongestDescription || json_is_deeper(json, 16)) {
    throw InputError(where + ": longer or deeper than a description of a model is");
  }
  return value_from_json<ModelDescription>(std::string(json),
                                           where + ": not a description of a model");
}

ModelDescription description_in(const SafetensorsFile& file) {
  std::vector<std::string> classes = classes_in(file);
  const auto found = file.metadata().find(kDescriptionKey);
  if (found == file.metadata().end()) {
    ModelDescription model;
    model.one_class_a_sample = !classes.empty();
    model.classes = std::move(classes);
    return model;
  }
  ModelDescription model = model_description_from_json(
      found->second, fmt::format("{}: the metadata's \"{}\"", file.path(), kDescriptionKey));
  if (!classes.empty() && classes != model.classes) {
    throw InputError(fmt::format(
        "{}: the metadata's \"classes\" ({}) are others than those in \"{}\" ({}): they were "
        "changed after training; take the file as it was",
        file.path(), short_list(classes), kDescriptionKey, short_list(model.classes)));
  }
  return model;
}

std::map<std::string, std::string> description_metadata(const ModelDescription& description) {
  std::map<std::string, std::string> metadata = {{"format", "pt"}};
  if (description.one_class_a_sample) metadata["classes"] = json_text(description.classes);
  if (description.says_nothing()) return metadata;
  std::string text = to_json(description);
  // Never so for a model that fits a machine; and a file that says nothing is better than none.
  if (text.size() <= kLongestDescription) metadata[kDescriptionKey] = std::move(text);
  return metadata;
}

std::string describe(const ModelDescription& model, std::string_view indent) {
  std::string text;
  const auto line = [&](const std::string& what) {
    text += fmt::format("{}{}\n", indent, printable(what));
  };
  const auto listed = [](const std::map<std::string, std::string>& values) {
    std::vector<std::string> items;
    for (const auto& [key, value] : values) items.push_back(fmt::format("{} {}", key, value));
    return fmt::format("{}", fmt::join(items, ", "));
  };
  if (!model.says_nothing()) {
    line(fmt::format("{}{}{}{}", model.architecture, model.options.empty() ? "" : ", ",
                     listed(model.options),
                     model.version.empty() ? "" : "; trained by thaw " + model.version));
  }
  if (!model.settings.empty()) line(listed(model.settings));
  if (!model.task.empty()) line(fmt::format("{}, {} outputs", model.task, model.outputs));
  if (!model.classes.empty()) line("classes: " + short_list(model.classes));
  if (!model.targets.empty()) line("targets: " + short_list(model.targets));
  if (model.channels > 0) {
    line(fmt::format("images of {} x {} x {}", model.channels, model.height, model.width));
  }
  if (!model.mean.empty()) {
    line(fmt::format("mean {}, std {}", fmt::join(model.mean, " "),
                     fmt::join(model.std_deviation, " ")));
  }
  if (!model.tokens.empty()) line("tokens: " + listed(model.tokens));
  return text;
}

bool are_numbers(const std::vector<std::string>& names) {
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (names[i] != std::to_string(i)) return false;
  }
  return true;
}

std::string short_list(const std::vector<std::string>& names) {
  constexpr std::size_t kShown = 6;
  std::vector<std::string> shown;
  for (std::size_t i = 0; i < std::min(kShown, names.size()); ++i) {
    shown.push_back(printable(names[i].substr(0, 100)));
  }
  return fmt::format("{}{}", fmt::join(shown, ", "),
                     names.size() > kShown ? fmt::format(", …, {} in all", names.size()) : "");
}

}  // namespace thaw
