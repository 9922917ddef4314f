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

}  // namespace

const std::vector<FamilyOptions>& model_families() {
  static const std::vector<FamilyOptions> families = {
#define THAW_MODEL_FAMILY(room, name, input, ...) {name, input, {__VA_ARGS__}},
#include "core/config/model_families.inc"
#undef THAW_MODEL_FAMILY
  };
  return families;
}

std::string family_choices() {
  std::vector<std::string_view> names;
  for (const FamilyOptions& family : model_families()) names.push_back(family.name);
  return fmt::format("{}", fmt::join(names, " | "));
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
  const std::vector<FamilyOptions>& all = model_families();
  const auto family = std::find_if(all.begin(), all.end(), [&](const FamilyOptions& each) {
    return each.name == options.architecture;
  });
  if (family == all.end()) return;
  ConfigurationDocument document;
  document.configuration.model = options;
  for (const Option& option : option_table()) {
    if (option.section != "model" || has(family->options, option.key)) continue;
    const std::string owners = families_with(option.key);
    if (!owners.empty() && option.get(document) != option.default_value()) {
      throw InputError(fmt::format("{}: an option of {}; \"{}\" does not read it: leave it out",
                                   option.name(), owners, options.architecture));
    }
  }
}

}  // namespace thaw
