#include "core/config/model_families.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "core/base/error.h"
#include "core/config/option_table.h"

namespace thaw {
namespace {

bool has(const std::vector<std::string_view>& keys, std::string_view key) {
  return std::find(keys.begin(), keys.end(), key) != keys.end();
}

/// Files, and what only training looks at. `architecture` stands beside the others.
const std::vector<std::string_view> kNoFunction = {"architecture",      "weights",     "config",
                                                   "tokenizer",         "head",        "dropout",
                                                   "attention-dropout", "head-dropout"};

const FamilyOptions* family_named(std::string_view name) {
  const std::vector<FamilyOptions>& all = model_families();
  const auto found = std::find_if(all.begin(), all.end(),
                                  [&](const FamilyOptions& each) { return each.name == name; });
  return found == all.end() ? nullptr : &*found;
}

/// Whether the family reads an option of [model]; one that is not listed reads all.
bool reads(const FamilyOptions* family, std::string_view key) {
  return family == nullptr || has(family->options, key) || families_with(key).empty();
}

std::string plain_text(const OptionValue& value) {
  const auto* text = std::get_if<std::string>(&value);
  return text != nullptr ? *text : toml_text(value);
}

}  // namespace

const std::vector<FamilyOptions>& model_families() {
  static const std::vector<FamilyOptions> families = {
#define THAW_TYPES(...) __VA_ARGS__
#define THAW_MODEL_FAMILY(room, name, input, types, ...) \
  {name, input, {THAW_TYPES types}, {__VA_ARGS__}},
#include "core/config/model_families.inc"
#undef THAW_MODEL_FAMILY
#undef THAW_TYPES
  };
  return families;
}

std::string family_choices() {
  std::vector<std::string_view> names;
  for (const FamilyOptions& family : model_families()) names.push_back(family.name);
  return fmt::format("{}", fmt::join(names, " | "));
}

std::string family_of_type(std::string_view model_type) {
  for (const FamilyOptions& family : model_families()) {
    if (has(family.model_types, model_type)) return std::string(family.name);
  }
  return "";
}

std::string known_model_types() {
  std::vector<std::string_view> types;
  for (const FamilyOptions& family : model_families()) {
    types.insert(types.end(), family.model_types.begin(), family.model_types.end());
  }
  return fmt::format("{}", fmt::join(types, ", "));
}

std::string families_with(std::string_view key) {
  std::vector<std::string_view> names;
  for (const FamilyOptions& family : model_families()) {
    if (has(family.options, key)) names.push_back(family.name);
  }
  return fmt::format("{}", fmt::join(names, ", "));
}

std::string input_groups() {
  std::vector<std::string_view> names;
  for (const FamilyOptions& family : model_families()) {
    if (!has(names, family.input_group)) names.push_back(family.input_group);
  }
  return fmt::format("{}", fmt::join(names, " or "));
}

bool is_input_group(std::string_view name) {
  const std::vector<FamilyOptions>& all = model_families();
  return std::any_of(all.begin(), all.end(),
                     [&](const FamilyOptions& family) { return family.input_group == name; });
}

void check_family_options(const ModelOptions& options) {
  const FamilyOptions* family = family_named(options.architecture);
  ConfigurationDocument document;
  document.configuration.model = options;
  for (const Option& option : option_table()) {
    if (option.section != "model" || reads(family, option.key)) continue;
    if (option.get(document) != option.default_value()) {
      throw InputError(fmt::format("{}: an option of {}; \"{}\" does not read it: leave it out",
                                   option.name(), families_with(option.key), options.architecture));
    }
  }
}

std::map<std::string, std::string> function_options(const ModelOptions& options) {
  const FamilyOptions* family = family_named(options.architecture);
  ConfigurationDocument document;
  document.configuration.model = options;
  std::map<std::string, std::string> result;
  for (const Option& option : option_table()) {
    if (option.section != "model" || has(kNoFunction, option.key)) continue;
    if (reads(family, option.key)) result[option.key] = plain_text(option.get(document));
  }
  return result;
}

bool is_of_the_head(std::string_view key) { return key == "pooling"; }

bool set_from_text(ModelOptions& options, std::string_view key, const std::string& text) {
  const Option* option = find_option("model", key);
  if (option == nullptr) return false;
  Problems problems;
  const std::optional<OptionValue> value =
      read_value(*option, {Setting::Text{text}, {}}, option->name(), problems);
  if (!value) return false;
  ConfigurationDocument document;
  document.configuration.model = options;
  option->set(document, *value);
  options = document.configuration.model;
  return true;
}

}  // namespace thaw
