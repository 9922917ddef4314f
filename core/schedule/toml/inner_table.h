#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/config/option_table.h"
#include "core/config/problems.h"
#include "core/config/setting.h"

namespace thaw {

/// Reads a table inside a stage, `plateau = { metric = "validation/loss", patience = 2 }`, key by
/// key, and gathers what is wrong with it.
class InnerTable {
 public:
  /// `subject` is the table's name in messages. Keys other than `keys` are reported.
  InnerTable(const Setting& setting, std::string subject, std::vector<std::string> keys,
             Problems& problems);

  /// False once something was wrong.
  bool good() const { return good_; }
  bool has(std::string_view key) const { return setting_.find(key) != nullptr; }
  /// Where `key` is written, or the table where it is not.
  const Location& where(std::string_view key) const;

  /// The value of `key`, or `fallback` where it is not given or wrong. Numbers have bounds on both
  /// sides, or std::logic_error tells whoever wrote the call.
  double number(std::string_view key, double fallback, const Range& range);
  std::int64_t integer(std::string_view key, std::int64_t fallback, const Range& range);
  bool boolean(std::string_view key, bool fallback);
  std::string text(std::string_view key, const std::string& fallback,
                   const std::vector<std::string>& choices);
  std::vector<std::string> texts(std::string_view key, std::vector<std::string> fallback);

  /// Reports that `key` must be given if it is not.
  void require(std::string_view key);
  void report(std::string_view key, std::string_view message);

 private:
  OptionValue read(std::string_view key, OptionValue fallback, const std::optional<Range>& range,
                   const std::vector<std::string>& choices);
  std::string subject_of(std::string_view key) const;

  const Setting& setting_;
  std::string subject_;
  Problems& problems_;
  bool good_ = true;
};

/// The message about a key that is none of `names`: `unknown <kind>; did you mean "epochs"?`, or
/// `unknown <kind>; <listing> a, b, c`.
std::string unknown_key(std::string_view kind, std::string_view listing, std::string_view key,
                        const std::vector<std::string>& names);

}  // namespace thaw
