#include "core/config/options_writer.h"

#include <fmt/format.h>

#include "core/config/group_reader.h"
#include "core/config/option_table.h"
#include "core/config/toml_text.h"

namespace thaw {

std::string write_options_toml(const Configuration& configuration) {
  ConfigurationDocument document;
  document.configuration = configuration;
  std::string text;
  for (const std::string& section : section_names()) {
    if (section == "schedule") continue;
    text += fmt::format("{}[{}]\n", text.empty() ? "" : "\n", section);
    for (const Option& option : option_table()) {
      if (option.section != section) continue;
      text += fmt::format("{} = {}\n", toml_key(option.key), toml_text(option.get(document)));
    }
    if (section == "model") text += write_groups_toml(configuration.model.groups);
  }
  return text;
}

}  // namespace thaw
