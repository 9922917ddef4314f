#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "core/config/setting.h"

namespace thaw {

/// Start of a message: "configs/a.toml:14: train.batch", or "command line: --train.batch".
std::string prefix_of(const Location& where, std::string_view subject);

/// Everything that is wrong with an input, gathered so that it can be said at once.
class Problems {
 public:
  /// `subject` names the setting, "train.batch"; unused where the setting came from a flag.
  void add(const Location& where, std::string_view subject, std::string_view message);

  bool empty() const { return found_.empty(); }

  /// Throws InputError with a line for each problem: those of the file in its order, then flags.
  void throw_if_any() const;

 private:
  struct Problem {
    Location where;
    std::string message;
  };
  std::vector<Problem> found_;
};

}  // namespace thaw
