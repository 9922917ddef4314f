#pragma once

#include <cstdint>
#include <functional>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/config/configuration_document.h"
#include "core/config/problems.h"
#include "core/config/setting.h"

namespace thaw {

// Note [One table of options]
// Every scalar option of a configuration file is one row of `option_table()`: its names, unit,
// bounds, help, and the member of a structure that holds it. The TOML reader, the flags of the
// command line, `--help`, the writer of resolved files and the suggestions for misspelt names all
// walk this table, so an option cannot exist in one of them alone. Its type and default are those
// of the member. Only the stages of a schedule, which are no scalars, are read elsewhere
// (core/schedule/toml/stage_reader.h).

/// Bounds of a number. All numbers must be finite besides. Every number that people write has both:
/// what lies beyond is a slip of the finger, and would end as a fault in the middle of a training.
struct Range {
  static constexpr double kNone = std::numeric_limits<double>::infinity();
  double least = -kNone;  ///< allowed itself
  double above = -kNone;  ///< not allowed itself
  double most = kNone;    ///< allowed itself
  double below = kNone;   ///< not allowed itself
  bool or_zero = false;   ///< 0 is allowed besides: it stands for "none"

  bool contains(double value) const;
  /// On both sides.
  bool bounded() const {
    return (least > -kNone || above > -kNone) && (most < kNone || below < kNone);
  }
  /// "at least 0 and below 1"
  std::string text() const;
};

/// One option of a configuration file. Its default is always allowed, beside choices and range: it
/// may stand for "not given".
struct Option {
  std::string section;
  std::string key;
  std::string unit;  ///< "" where it has none
  std::string help;
  bool required = false;             ///< must be given, and not be empty
  std::string told_by = {};          ///< of a required one: another that may tell it instead
  bool texts = false;                ///< a list of texts; else lists are of files
  std::vector<std::string> choices;  ///< of a string; empty: any
  std::optional<Range> range;        ///< of a number
  std::function<OptionValue(const ConfigurationDocument&)> get;
  std::function<void(ConfigurationDocument&, const OptionValue&)> set;

  /// "section.key"
  std::string name() const { return section + "." + key; }
  OptionValue default_value() const { return get(ConfigurationDocument{}); }
};

/// All options, section by section in the order in which files are written.
const std::vector<Option>& option_table();

/// The names of the sections, in that order.
const std::vector<std::string>& section_names();

/// Null where there is no such option.
const Option* find_option(std::string_view section, std::string_view key);

/// What is wrong with `value` for `option`; "" where nothing is.
std::string objection_to(const Option& option, const OptionValue& value);

/// Reads `setting` as a value for `option`. Adds to `problems`, with `subject` as the setting's
/// name, and returns nothing where it has another type or is not allowed.
std::optional<OptionValue> read_value(const Option& option, const Setting& setting,
                                      std::string_view subject, Problems& problems);

}  // namespace thaw
