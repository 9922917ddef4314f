#include "launch/command/arguments.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <boost/any.hpp>
#include <charconv>
#include <set>
#include <sstream>

#include "core/base/error.h"
#include "core/base/suggest.h"
#include "core/parallel/agreement.h"
#include "core/parallel/communicator.h"
#include "core/schedule/resolve_schedule.h"
#include "core/tasks/registry.h"
#include "launch/terminal/text_width.h"

namespace po = boost::program_options;

namespace thaw {
namespace {

[[noreturn]] void refuse(const std::string& option, const std::string& text,
                         const std::string& expected) {
  throw InputError(fmt::format("{} {}: expected {}", option, text, expected));
}

/// False where the whole of `text` is no such number.
template <typename Number>
bool read(const std::string& text, Number& value) {
  const char* last = text.data() + text.size();
  const auto [end, error] = std::from_chars(text.data(), last, value);
  return error == std::errc() && end == last;
}

constexpr std::size_t kHelpColumns = 80;

/// What stands in brackets stays together.
std::string wrapped_usage(std::string usage) {
  constexpr char kHeld = '\x1f';
  int depth = 0;
  for (char& each : usage) {
    depth += each == '[' ? 1 : each == ']' ? -1 : 0;
    if (each == ' ' && depth > 0) each = kHeld;
  }
  usage = wrapped(usage, kHelpColumns, "", "    ");
  std::replace(usage.begin(), usage.end(), kHeld, ' ');
  return usage;
}

}  // namespace

ArgumentParser::ArgumentParser(std::string usage, std::string summary)
    : usage_(std::move(usage)), summary_(std::move(summary)) {
  options_.add_options()("help,h", "prints this text");
}

void ArgumentParser::positional(const std::string& name, const std::string& help, bool required) {
  auto* value = po::value<std::string>();
  if (!required) {
    value->default_value("");
  }
  hidden_.add_options()(name.c_str(), value, help.c_str());
  positions_.add(name.c_str(), 1);
  if (required) {
    required_.push_back(name);
  }
}

void ArgumentParser::positionals(const std::string& name, const std::string& help) {
  hidden_.add_options()(name.c_str(), po::value<std::vector<std::string>>(), help.c_str());
  positions_.add(name.c_str(), -1);
  required_.push_back(name);
}

void ArgumentParser::option(const std::string& name, const std::string& help,
                            const std::string& fallback) {
  auto* value = po::value<std::string>()->default_value(fallback, fallback)->value_name("VALUE");
  options_.add_options()(name.c_str(), value, help.c_str());
}

void ArgumentParser::takes_configuration() {
  takes_configuration_ = true;
  options_.add_options()("help-config",
                         "prints the configuration's options, each of which is a flag");
}

void ArgumentParser::choices(const std::string& name, std::vector<std::string> words) {
  choices_[name] = {std::move(words), Words::kAll};
}

void ArgumentParser::item_choices(const std::string& name, std::vector<std::string> words) {
  choices_[name] = {std::move(words), Words::kItems};
}

void ArgumentParser::suggestions(const std::string& name, std::vector<std::string> words) {
  choices_[name] = {std::move(words), Words::kSome};
}

void ArgumentParser::flag(const std::string& name, const std::string& help) {
  options_.add_options()(name.c_str(), po::bool_switch(), help.c_str());
}

void ArgumentParser::list(const std::string& name, const std::string& help, bool several) {
  auto* value = po::value<std::vector<std::string>>()->composing()->value_name(several ? "VALUE..."
                                                                                       : "VALUE");
  if (several) value->multitoken();
  options_.add_options()(name.c_str(), value, help.c_str());
}

std::vector<std::string> ArgumentParser::Parsed::all(const std::string& name) const {
  if (values.count(name) == 0) return {};
  return values[name].as<std::vector<std::string>>();
}

ArgumentParser::Attempt ArgumentParser::attempt(std::vector<std::string> arguments) const {
  Attempt result;
  Parsed& parsed = result.parsed;
  if (takes_configuration_) {
    parsed.overrides = take_overrides(arguments);
  }
  po::options_description all;
  all.add(options_).add(hidden_);
  try {
    po::store(po::command_line_parser(arguments).options(all).positional(positions_).run(),
              parsed.values);
  } catch (const po::unknown_option& error) {
    std::vector<std::string> names;
    for (const auto& option : options_.options()) {
      names.push_back(option->long_name());
    }
    const std::string name = error.get_option_name();
    const std::string bare = name.substr(std::min(name.find_first_not_of('-'), name.size()));
    const std::string nearest = nearest_name(bare, names);
    throw InputError(fmt::format("command line: unknown option {}{}; see thaw {} --help", name,
                                 nearest.empty() ? "" : "; did you mean --" + nearest + "?",
                                 usage_.substr(0, usage_.find(' '))));
  } catch (const po::too_many_positional_options_error&) {
    throw InputError(fmt::format("command line: too many arguments; usage: thaw {}", usage_));
  } catch (const po::error& error) {
    throw InputError(fmt::format("command line: {}; usage: thaw {}", error.what(), usage_));
  }
  if (parsed.values.count("help") > 0) result.wanted_help = help();
  if (parsed.values.count("help-config") > 0) {
    result.wanted_help = configuration_help(schedule_choices(all_metrics()));
  }
  for (const std::string& name : required_) {
    if (result.wanted_help.empty() && parsed.values.count(name) == 0) {
      throw InputError(fmt::format("command line: {} is missing; usage: thaw {}", name, usage_));
    }
  }
  if (result.wanted_help.empty()) check_choices(parsed);
  return result;
}

void ArgumentParser::check_choices(const Parsed& parsed) const {
  for (const auto& [name, choices] : choices_) {
    const std::string text = parsed[name];
    if (choices.held == Words::kSome || (text.empty() && parsed.values[name].defaulted())) continue;
    const bool positional = options_.find_nothrow(name, /*approx=*/false) == nullptr;
    const std::string shown = positional ? name : "--" + name;
    const auto& words = choices.words;
    for (const std::string& each :
         choices.held == Words::kItems ? list_of(shown, text) : std::vector{text}) {
      if (std::find(words.begin(), words.end(), each) != words.end()) continue;
      refuse(
          shown, each,
          fmt::format("{} or {}", fmt::join(words.begin(), words.end() - 1, ", "), words.back()));
    }
  }
}

std::optional<ArgumentParser::Parsed> ArgumentParser::parse(
    std::vector<std::string> arguments) const {
  Attempt result = attempt(std::move(arguments));
  if (!result.wanted_help.empty()) {
    fmt::print("{}", result.wanted_help);
    return std::nullopt;
  }
  return std::move(result.parsed);
}

std::optional<ArgumentParser::Parsed> ArgumentParser::parse(
    const std::vector<std::string>& arguments, Communicator& communicator) const {
  Attempt result = agreed(communicator, [&] { return attempt(arguments); });
  if (!result.wanted_help.empty()) {
    fmt::print("{}", communicator.rank() == 0 ? result.wanted_help : "");
    return std::nullopt;
  }
  return std::move(result.parsed);
}

std::optional<ArgumentParser::Parsed> ArgumentParser::peek(
    const std::vector<std::string>& arguments) const {
  try {
    Attempt result = attempt(arguments);
    if (result.wanted_help.empty()) return std::move(result.parsed);
  } catch (const InputError&) {  // for `parse` to tell
  }
  return std::nullopt;
}

std::string ArgumentParser::help() const {
  std::ostringstream text;
  text << wrapped_usage("Usage: thaw " + usage_) << "\n"
       << wrapped(summary_, kHelpColumns) << "\n"
       << options_;
  if (takes_configuration_) {
    text << "\n"
         << wrapped(
                "Each scalar option of the configuration is a flag of the same name, "
                "--SECTION.KEY VALUE, such as --data.batch 128; --help-config tells them all.",
                kHelpColumns);
  }
  return text.str();
}

ArgumentList ArgumentParser::arguments() const {
  const auto entry = [&](const po::option_description& option) {
    const auto words = choices_.find(option.long_name());
    boost::any value;
    const bool has_default = option.semantic()->apply_default(value);
    const auto* text = has_default ? boost::any_cast<std::string>(&value) : nullptr;
    return ArgumentList::Entry{
        .name = option.long_name(),
        .help = option.description(),
        .fallback = text == nullptr ? "" : *text,
        .takes_value = option.semantic()->max_tokens() > 0,
        .choices = words == choices_.end() ? std::vector<std::string>() : words->second.words};
  };
  ArgumentList list{
      .usage = usage_, .summary = summary_, .takes_configuration = takes_configuration_};
  for (const auto& option : hidden_.options()) list.positionals.push_back(entry(*option));
  for (const auto& option : options_.options()) list.options.push_back(entry(*option));
  return list;
}

std::vector<std::string> list_of(const std::string& option, const std::string& text) {
  std::vector<std::string> items;
  std::istringstream stream(text);
  for (std::string item; std::getline(stream, item, ',');) {
    if (!item.empty()) items.push_back(item);
  }
  if (items.empty()) refuse(option, text, "a comma-separated list");
  if (std::set<std::string>(items.begin(), items.end()).size() != items.size()) {
    refuse(option, text, "each item once");
  }
  return items;
}

std::int64_t whole_number_of(const std::string& option, const std::string& text, std::int64_t least,
                             std::int64_t most) {
  std::int64_t value = 0;
  if (!read(text, value) || value < least || value > most) {
    refuse(option, text, fmt::format("a whole number of at least {}, at most {}", least, most));
  }
  return value;
}

double positive_number_of(const std::string& option, const std::string& text, double most) {
  double value = 0;
  if (!read(text, value) || !(value > 0) || value > most) {
    refuse(option, text, fmt::format("a number above 0, at most {:g}", most));
  }
  return value;
}

}  // namespace thaw
