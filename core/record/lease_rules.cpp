#include "core/record/lease_rules.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <string_view>

namespace thaw {
namespace {

constexpr std::size_t kLongest = 200;  ///< of a value
constexpr std::string_view kFirstLine = "thaw-lease 1\n";

bool printable(char letter) { return letter >= ' ' && letter <= '~'; }

std::string clean(std::string text) {
  text.resize(std::min(text.size(), kLongest));
  std::replace_if(
      text.begin(), text.end(), [](char each) { return !printable(each); }, '?');
  return text;
}

/// The value of the line `key value` at the beginning of `text`, which is taken off it.
std::optional<std::string> take_line(std::string_view& text, std::string_view key) {
  const std::size_t end = text.find('\n');
  if (end == std::string_view::npos) return std::nullopt;
  const std::string_view line = text.substr(0, end);
  text.remove_prefix(end + 1);
  if (!line.starts_with(key) || line.size() <= key.size() || line[key.size()] != ' ') {
    return std::nullopt;
  }
  const std::string value(line.substr(key.size() + 1));
  if (value.size() > kLongest || !std::all_of(value.begin(), value.end(), printable)) {
    return std::nullopt;
  }
  return value;
}

template <class Number>
bool read_number(const std::optional<std::string>& text, Number& number) {
  if (!text) return false;
  const char* end = text->data() + text->size();
  const auto [at, error] = std::from_chars(text->data(), end, number);
  return error == std::errc() && at == end;
}

}  // namespace

std::string lease_text(const LeaseRecord& record) {
  return fmt::format(
      "{}count {:020}\nstate {}\nowner {}\nhost {}\nsystem {}\nprocess {}\nstarted {}\njob {}\n",
      kFirstLine, record.count, record.held ? "held" : "free", clean(record.owner),
      clean(record.host), clean(record.system), record.process, record.started,
      clean(record.batch_job));
}

std::optional<LeaseRecord> parse_lease(const std::string& text) {
  std::string_view rest = text;
  if (!rest.starts_with(kFirstLine)) return std::nullopt;
  rest.remove_prefix(kFirstLine.size());
  LeaseRecord record;
  bool good = read_number(take_line(rest, "count"), record.count);
  const std::optional<std::string> state = take_line(rest, "state");
  const std::optional<std::string> owner = take_line(rest, "owner");
  const std::optional<std::string> host = take_line(rest, "host");
  const std::optional<std::string> system = take_line(rest, "system");
  good = good && read_number(take_line(rest, "process"), record.process);
  good = good && read_number(take_line(rest, "started"), record.started);
  const std::optional<std::string> job = take_line(rest, "job");
  if (!good || !owner || !host || !system || !job) return std::nullopt;
  if (state != "held" && state != "free") return std::nullopt;
  record.held = state == "held";
  record.owner = *owner;
  record.host = *host;
  record.system = *system;
  record.batch_job = *job;
  return record;
}

std::string lease_holder(const LeaseRecord& record) {
  const std::string job =
      record.batch_job.empty() ? "" : fmt::format(" (Slurm job {})", record.batch_job);
  return fmt::format("process {} on {}{}", record.process, record.host, job);
}

LeaseVerdict judge_lease(const LeaseSight& sight, double time_out) {
  if (!sight.exists) return LeaseVerdict::kTake;
  if (sight.record && !sight.record->held) return LeaseVerdict::kTake;
  if (sight.record && sight.holder == HolderSight::kGone) return LeaseVerdict::kTake;
  // However long it has not renewed: a stopped process goes on some time.
  if (sight.record && sight.holder == HolderSight::kRuns) return LeaseVerdict::kRefuse;
  if (sight.moved && sight.holder != HolderSight::kEnding) return LeaseVerdict::kRefuse;
  return sight.still_seconds >= time_out ? LeaseVerdict::kTake : LeaseVerdict::kWatch;
}

}  // namespace thaw
