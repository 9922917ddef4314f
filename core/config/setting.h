#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace thaw {

/// Where a setting was written: a line of a file, or a flag of the command line.
struct Location {
  std::string file;
  std::int64_t line = 0;  ///< 0: the file as a whole
  std::string flag;       ///< "train.batch"; where not empty, the setting came from this flag
  std::int64_t column = 0;

  friend bool operator==(const Location&, const Location&) = default;
};

/// A value of a configuration as it was written, before anything is known about its meaning.
///
/// Independent of the TOML parser, and in the file's order, which toml++ does not keep.
struct Setting {
  struct Entry;
  using Array = std::vector<Setting>;
  using Table = std::vector<Entry>;  ///< in the order of the file

  /// What a flag gave: its type is whatever the option asks for.
  struct Text {
    std::string text;
  };
  /// A date or time, which no option takes.
  struct Moment {};

  std::variant<bool, std::int64_t, double, std::string, Text, Moment, Array, Table> value;
  Location where;

  const Table* table() const { return std::get_if<Table>(&value); }
  const Array* array() const { return std::get_if<Array>(&value); }
  /// The entry `key` of a table; null where there is none, or this is no table.
  const Setting* find(std::string_view key) const;
};

/// One `key = value` of a table.
struct Setting::Entry {
  std::string key;
  Location where;  ///< of the key
  Setting setting;
};

/// For messages: `the integer 64`, `the string "a"`, `an array`.
std::string describe(const Setting& setting);

/// The setting as a value of the wanted type; nothing where it is of another. A flag's text is
/// parsed; an integer serves as a number; a string serves as a list of one; a flag's list is
/// separated by commas, or written as TOML writes it: `["a,b", "c"]`.
std::optional<bool> as_boolean(const Setting& setting);
std::optional<std::int64_t> as_integer(const Setting& setting);
std::optional<double> as_number(const Setting& setting);
std::optional<std::string> as_string(const Setting& setting);
std::optional<std::vector<std::string>> as_strings(const Setting& setting);
/// The same of files' names: in a flag, a name with commas that is there as it stands is one.
std::optional<std::vector<std::string>> as_paths(const Setting& setting);
/// The same of texts, which may hold commas: a flag is one of them, or a list in TOML's spelling.
std::optional<std::vector<std::string>> as_texts(const Setting& setting);

/// One `--section.key VALUE` of a command line.
struct Override {
  std::string key;  ///< "train.batch", "schedule.stage.head.learning-rate"
  std::string value;

  friend bool operator==(const Override&, const Override&) = default;
};

/// A value of an option, enumerations by their names. A list of strings may be written as a single
/// string.
using OptionValue = std::variant<bool, std::int64_t, double, std::string, std::vector<std::string>>;

/// "BOOLEAN", "INTEGER", "NUMBER", "TEXT", "TEXT[,TEXT...]": the type as help shows it.
std::string_view type_name(const OptionValue& value);

/// What a message asks for: "an integer".
std::string_view wanted(const OptionValue& value);

/// The value as TOML.
std::string toml_text(const OptionValue& value);

}  // namespace thaw
