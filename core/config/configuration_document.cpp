#include "core/config/configuration_document.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <set>

#include "core/base/error.h"
#include "core/base/input_text.h"
#include "core/base/suggest.h"
#include "core/config/group_reader.h"
#include "core/config/optimizers.h"
#include "core/config/option_table.h"
#include "core/config/problems.h"
#include "core/config/toml_reader.h"

namespace thaw {
namespace {

/// What of `[schedule]` is read where the stages are.
constexpr std::string_view kStageTables[] = {"schedule.stage", "schedule.curve", "schedule.until",
                                             "schedule.policy"};
constexpr std::int64_t kLargestFile = 16 << 20;
/// Names that are looked for to suggest them: enough for a person, little for a file of 16 MiB.
constexpr int kMostSuggestions = 100;

bool is_stage_table(std::string_view name) {
  return std::find(std::begin(kStageTables), std::end(kStageTables), name) !=
         std::end(kStageTables);
}

std::vector<std::string> keys_of(std::string_view section) {
  std::vector<std::string> keys;
  for (const Option& option : option_table()) {
    if (option.section == section) keys.push_back(option.key);
  }
  return keys;
}

/// "; did you mean ...?" for a key that its section does not have, or "".
std::string suggestion(const std::string& section, const std::string& key, bool as_flag) {
  const std::vector<std::string>& sections = section_names();
  const bool known = std::find(sections.begin(), sections.end(), section) != sections.end();
  std::string best;
  std::size_t least = std::numeric_limits<std::size_t>::max();
  const auto consider = [&](const std::string& its_section, const std::string& its_key) {
    std::size_t distance = edit_distance(key, its_key);
    // Keys of other sections must be nearer than those of the same one to be meant.
    if (distance > (section == its_section ? largest_misspelling(key) : 2)) return;
    // The right key in a wrong section is nearer than another key in the right one.
    if (section != its_section) {
      distance += known || section.empty() ? 1 : edit_distance(section, its_section);
    }
    if (distance >= least) return;
    least = distance;
    best = as_flag || section != its_section ? its_section + "." + its_key : its_key;
  };
  if (section == "schedule" && !as_flag) consider("schedule", "stage");
  for (const Option& option : option_table()) consider(option.section, option.key);
  if (best.empty()) return "";
  return as_flag ? fmt::format("; did you mean --{}?", best)
                 : fmt::format("; did you mean \"{}\"?", best);
}

/// Lays settings over a document, whose defaults stand until then.
class DocumentReader {
 public:
  explicit DocumentReader(const std::string& path) { document_.path = path; }

  void read_file(const Setting& root) {
    for (const auto& [section, where, setting] : *root.table()) {
      if (keys_of(section).empty()) {
        report_unknown_section(section, where, setting);
      } else if (!setting.table()) {
        problems_.add(where, section,
                      fmt::format("expected a section [{}], got {}", section, describe(setting)));
      } else {
        for (const Setting::Entry& entry : *setting.table()) read_entry(section, entry);
      }
    }
  }

  void read_flag(const Override& flag) {
    const std::size_t second_dot = flag.key.find('.', flag.key.find('.') + 1);
    if (second_dot != std::string::npos && is_stage_table(flag.key.substr(0, second_dot))) {
      document_.stage_overrides.push_back(flag);
      return;
    }
    const Location where{document_.path, 0, flag.key};
    const std::size_t dot = flag.key.find('.');
    const std::string section = flag.key.substr(0, dot);
    const std::string key = dot == std::string::npos ? "" : flag.key.substr(dot + 1);
    const Option* option = find_option(section, key);
    if (!option) {
      problems_.add(where, flag.key, "unknown option" + suggested(section, key, true));
      return;
    }
    const auto before = document_.given.find(flag.key);
    const bool repeated = before != document_.given.end() && !before->second.flag.empty();
    const OptionValue earlier = option->get(document_);
    read_option(*option, {Setting::Text{flag.value}, where});
    // A list may be spread over several flags; of any other option, the last flag counts.
    if (const auto* list = std::get_if<std::vector<std::string>>(&earlier); list && repeated) {
      std::vector<std::string> all = *list;
      const auto added = std::get<std::vector<std::string>>(option->get(document_));
      all.insert(all.end(), added.begin(), added.end());
      option->set(document_, all);
    }
  }

  ConfigurationDocument finish(bool whole = true) {
    for (const Option& option : option_table()) {
      const bool told_elsewhere = !option.told_by.empty() && attempted_.contains(option.told_by);
      if (whole && option.required && !told_elsewhere && !attempted_.contains(option.name())) {
        problems_.add({document_.path, 0, {}}, option.name(),
                      fmt::format("missing; the configuration must say it ({})", option.help));
      }
    }
    problems_.throw_if_any();
    TrainOptions& train = document_.configuration.train;
    train = with_own_defaults(train);
    return std::move(document_);
  }

 private:
  std::string suggested(const std::string& section, const std::string& key, bool as_flag) {
    return suggestions_++ < kMostSuggestions ? suggestion(section, key, as_flag) : "";
  }

  void report_unknown_section(const std::string& section, const Location& where,
                              const Setting& setting) {
    if (setting.table()) {
      const std::string near = nearest_name(section, section_names());
      problems_.add(where, fmt::format("[{}]", section),
                    near.empty() ? fmt::format("unknown section; there are {}",
                                               fmt::join(section_names(), ", "))
                                 : fmt::format("unknown section; did you mean [{}]?", near));
    } else {
      problems_.add(where, section,
                    "unknown key outside of all sections" + suggested("", section, false));
    }
  }

  void read_entry(const std::string& section, const Setting::Entry& entry) {
    const std::string name = section + "." + entry.key;
    if (name == "schedule.stage") {
      read_stages(entry);
    } else if (name == "model.group") {
      document_.configuration.model.groups = read_groups(entry, problems_);
      document_.given[name] = entry.where;
    } else if (is_stage_table(name) && entry.setting.table()) {
      document_.stage_tables.push_back(entry);
      document_.given[name] = entry.where;
    } else if (const Option* option = find_option(section, entry.key)) {
      read_option(*option, entry.setting);
    } else if (is_stage_table(name)) {
      problems_.add(entry.setting.where, name,
                    "expected a table, as a stage has it, got " + describe(entry.setting));
    } else {
      problems_.add(entry.where, name, "unknown key" + suggested(section, entry.key, false));
    }
  }

  void read_stages(const Setting::Entry& entry) {
    bool tables = entry.setting.array() != nullptr;
    if (tables) {
      for (const Setting& stage : *entry.setting.array()) tables = tables && stage.table();
    }
    if (tables) {
      document_.stages = *entry.setting.array();
    } else {
      problems_.add(entry.where, "schedule.stage",
                    "stages are written as [[schedule.stage]], once for each");
    }
  }

  void read_option(const Option& option, const Setting& setting) {
    attempted_.insert(option.name());
    const auto value = read_value(option, setting, option.name(), problems_);
    if (!value) return;
    option.set(document_, *value);
    document_.given[option.name()] = setting.where;
  }

  ConfigurationDocument document_;
  std::set<std::string> attempted_;  // given, well or badly: not missing
  Problems problems_;
  int suggestions_ = 0;
};

}  // namespace

std::string ConfigurationDocument::where(std::string_view option) const {
  const auto found = given.find(option);
  return prefix_of(found == given.end() ? Location{path, 0, {}} : found->second, option);
}

std::string ConfigurationDocument::located(const std::string& message) const {
  const std::string name = message.substr(0, message.find_first_of(": "));
  const std::size_t dot = name.find('.');
  if (dot == std::string::npos || !find_option(name.substr(0, dot), name.substr(dot + 1))) {
    return message;
  }
  return where(name) + message.substr(name.size());
}

std::string read_configuration_text(const std::string& path) {
  return read_input_text(path, kLargestFile);
}

ConfigurationDocument parse_configuration(std::string_view text, const std::string& path,
                                          const std::vector<Override>& overrides) {
  DocumentReader reader(path);
  reader.read_file(read_toml(text, path));
  for (const Override& flag : overrides) reader.read_flag(flag);
  return reader.finish();
}

ConfigurationDocument parse_partial_configuration(std::string_view text, const std::string& path) {
  DocumentReader reader(path);
  reader.read_file(read_toml(text, path));
  return reader.finish(/*whole=*/false);
}

ConfigurationDocument read_configuration(const std::string& path,
                                         const std::vector<Override>& overrides) {
  return parse_configuration(read_configuration_text(path), path, overrides);
}

}  // namespace thaw
