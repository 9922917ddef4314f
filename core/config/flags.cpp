#include "core/config/flags.h"

#include <fmt/format.h>

#include <boost/program_options/options_description.hpp>
#include <boost/program_options/value_semantic.hpp>
#include <sstream>
#include <variant>

#include "core/base/error.h"
#include "core/config/option_table.h"

namespace thaw {
namespace {

constexpr unsigned kHelpWidth = 100;

bool is_boolean(const std::string& name) {
  const std::size_t dot = name.find('.');
  const Option* option = find_option(name.substr(0, dot), name.substr(dot + 1));
  return option && std::holds_alternative<bool>(option->default_value());
}

/// "[samples] of one optimizer step", "float32 | bfloat16: of the computation"
std::string help_of(const Option& option, const std::vector<std::string>& choices) {
  std::string help = option.unit.empty() ? "" : "[" + option.unit + "] ";
  help += fmt::format("{}", fmt::join(choices, " | "));
  if (!choices.empty() && !option.help.empty()) help += ": ";
  help += option.help;
  if (!option.required) return help;
  return help + (option.told_by.empty()
                     ? " (required)"
                     : fmt::format(" (required, or told by {})", option.told_by));
}

}  // namespace

std::vector<Override> take_overrides(std::vector<std::string>& arguments) {
  std::vector<Override> overrides;
  std::vector<std::string> others;
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    const std::string& argument = arguments[i];
    if (argument == "--") {
      others.insert(others.end(), arguments.begin() + static_cast<std::ptrdiff_t>(i),
                    arguments.end());
      break;
    }
    const std::size_t equals = argument.find('=');
    const std::string name = argument.starts_with("--") ? argument.substr(2, equals - 2) : "";
    if (name.find('.') == std::string::npos) {
      others.push_back(argument);
      continue;
    }
    if (equals != std::string::npos) {
      overrides.push_back({name, argument.substr(equals + 1)});
      continue;
    }
    const std::string* next = i + 1 < arguments.size() ? &arguments[i + 1] : nullptr;
    if (is_boolean(name) && (!next || (*next != "true" && *next != "false"))) {
      overrides.push_back({name, "true"});
      continue;
    }
    if (!next || next->starts_with("--")) {
      throw InputError(fmt::format("command line: --{}: a value is missing", name));
    }
    overrides.push_back({name, *next});
    ++i;
  }
  arguments = std::move(others);
  return overrides;
}

std::string typed_default(const Option& option) {
  const OptionValue value = option.default_value();
  if (const auto* string = std::get_if<std::string>(&value)) return *string;
  if (std::holds_alternative<std::vector<std::string>>(value)) return "";
  return toml_text(value);
}

std::string configuration_help(const std::map<std::string, std::vector<std::string>>& words) {
  namespace po = boost::program_options;
  std::ostringstream text;
  for (const std::string& section : section_names()) {
    po::options_description description(fmt::format("[{}]", section), kHelpWidth);
    for (const Option& option : option_table()) {
      if (option.section != section) continue;
      auto* value =
          po::value<std::string>()->value_name(std::string(type_name(option.default_value())));
      const std::string standard = typed_default(option);
      if (!standard.empty()) value->default_value(standard);
      const auto its_words = words.find(option.name());
      const auto& choices = its_words == words.end() ? option.choices : its_words->second;
      description.add_options()(option.name().c_str(), value, help_of(option, choices).c_str());
    }
    text << description << '\n';
  }
  text << "A stage's options are flags too: --schedule.stage.NAME.KEY VALUE, where NAME is the\n"
          "stage's name and KEY one of its scalars: learning-rate, until.epochs, until.steps,\n"
          "curve, curve.warmup-steps, weight-decay, clip-norm, ... For all stages of a preset:\n"
          "--schedule.curve.KEY, --schedule.until.KEY, --schedule.policy.KEY.\n";
  return text.str();
}

}  // namespace thaw
