#include "core/config/problems.h"

#include <fmt/format.h>

#include <algorithm>
#include <tuple>

#include "core/base/error.h"
#include "core/base/text_bytes.h"

namespace thaw {

std::string prefix_of(const Location& where, std::string_view subject) {
  if (!where.flag.empty()) return fmt::format("command line: --{}", where.flag);
  if (where.line == 0) return fmt::format("{}: {}", where.file, subject);
  return fmt::format("{}:{}: {}", where.file, where.line, subject);
}

void Problems::add(const Location& where, std::string_view subject, std::string_view message) {
  // A line each, whatever a file's keys and values hold.
  found_.push_back({where, printable(fmt::format("{}: {}", prefix_of(where, subject), message))});
}

void Problems::throw_if_any() const {
  if (found_.empty()) return;
  std::vector<Problem> sorted = found_;
  const auto place = [](const Problem& problem) {
    return std::tuple(!problem.where.flag.empty(), problem.where.line);
  };
  std::stable_sort(sorted.begin(), sorted.end(),
                   [&](const Problem& a, const Problem& b) { return place(a) < place(b); });
  std::string message;
  const std::string* last = nullptr;
  for (const Problem& problem : sorted) {
    // One flag may be laid over several tables.
    if (last && *last == problem.message) continue;
    last = &problem.message;
    if (!message.empty()) message += '\n';
    message += problem.message;
  }
  throw InputError(message);
}

}  // namespace thaw
