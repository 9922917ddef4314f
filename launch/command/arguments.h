#pragma once

#include <boost/program_options.hpp>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "core/config/flags.h"

namespace thaw {

class Communicator;

/// What a sub-command takes, for texts about it: completion, the manual.
struct ArgumentList {
  struct Entry {
    std::string name;  ///< without dashes
    std::string help;
    std::string fallback;                   ///< "": none
    bool takes_value = true;                ///< an option's
    std::vector<std::string> choices = {};  ///< values that shells offer; empty: any
  };

  std::string usage;  ///< what stands behind "thaw"
  std::string summary;
  std::vector<Entry> positionals = {};
  std::vector<Entry> options = {};  ///< `help` among them
  bool takes_configuration = false;
};

/// What a sub-command takes besides the options of the configuration.
class ArgumentParser {
 public:
  /// `usage`: what stands behind "thaw" in the first line of the help, "train CONFIG.toml [...]".
  ArgumentParser(std::string usage, std::string summary);

  /// A positional argument, which must be there, or else is "" where it is not given.
  void positional(const std::string& name, const std::string& help, bool required = true);
  /// The last positional argument, which stands for one or more: see `Parsed::all`.
  void positionals(const std::string& name, const std::string& help);
  /// `--name VALUE`; `fallback` where it is not given.
  void option(const std::string& name, const std::string& help, const std::string& fallback = "");
  /// `--name`, which takes no value: see `Parsed::has`.
  void flag(const std::string& name, const std::string& help);
  /// `--name VALUE`, any number of times; `several`: also several values behind one.
  void list(const std::string& name, const std::string& help, bool several = false);
  /// The value of an option or positional argument that stands above is one of `words`, two or
  /// more: `parse` refuses others, and shells offer these.
  void choices(const std::string& name, std::vector<std::string> words);
  /// Each item of a comma-separated list, likewise.
  void item_choices(const std::string& name, std::vector<std::string> words);
  /// Others are taken too.
  void suggestions(const std::string& name, std::vector<std::string> words);
  /// Says that flags `--section.key VALUE` of the configuration are taken too.
  void takes_configuration();

  /// What was given: each option's text, or its default's.
  struct Parsed {
    boost::program_options::variables_map values;
    std::vector<Override> overrides;  ///< of the configuration

    std::string operator[](const std::string& name) const { return values[name].as<std::string>(); }
    bool has(const std::string& flag) const { return values[flag].as<bool>(); }
    /// All values of a list, or of positionals, in order.
    std::vector<std::string> all(const std::string& name) const;
  };
  /// Nothing where `--help` or `--help-config` was given: that was printed and the sub-command is
  /// done.
  /// Throws InputError for an unknown option (with the nearest name), a missing value or argument.
  std::optional<Parsed> parse(std::vector<std::string> arguments) const;
  /// The same as a collective, whose error all ranks throw together; rank 0 prints.
  std::optional<Parsed> parse(const std::vector<std::string>& arguments,
                              Communicator& communicator) const;

  /// The same without a word: what decides beforehand how a sub-command is run. Nothing where help
  /// was asked for, or where `parse` would throw.
  std::optional<Parsed> peek(const std::vector<std::string>& arguments) const;

  /// Of the sub-command's own options; those of the configuration are told by `--help-config`.
  std::string help() const;
  ArgumentList arguments() const;

 private:
  /// The command line read on one rank, without a word to the others.
  struct Attempt {
    Parsed parsed;
    std::string wanted_help;  ///< what was asked for by --help or --help-config; else ""
  };
  Attempt attempt(std::vector<std::string> arguments) const;
  void check_choices(const Parsed& parsed) const;

  enum class Words { kAll, kItems, kSome };  ///< how an option is held to the words below
  struct Choices {
    std::vector<std::string> words;
    Words held = Words::kAll;
  };

  std::string usage_;
  std::string summary_;
  boost::program_options::options_description options_{"Options"};
  boost::program_options::options_description hidden_;
  boost::program_options::positional_options_description positions_;
  std::vector<std::string> required_;
  std::map<std::string, Choices> choices_;  ///< by the name of an option or positional argument
  bool takes_configuration_ = false;
};

// What a sub-command reads from its own options. `option` is as the user wrote it, "--ranks" or
// "-n"; all throw InputError that names it, what was given and what was expected:
// `--seeds 0: expected a whole number of at least 1, at most 10000`.

/// The items of a comma-separated list: at least one, and none twice.
std::vector<std::string> list_of(const std::string& option, const std::string& text);

/// More ranks than any machine has: beyond stands a slip of the finger.
constexpr std::int64_t kMostRanks = 1 << 16;

/// Both bounds are allowed themselves.
std::int64_t whole_number_of(const std::string& option, const std::string& text, std::int64_t least,
                             std::int64_t most);
/// Above 0, and at most `most`.
double positive_number_of(const std::string& option, const std::string& text, double most);

}  // namespace thaw
