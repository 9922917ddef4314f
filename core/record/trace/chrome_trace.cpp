#include "core/record/trace/chrome_trace.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>

#include "core/base/error.h"
#include "core/base/json_fields.h"
#include "core/base/json_text.h"

namespace thaw {
namespace {

using Json = nlohmann::ordered_json;

/// The format counts in microseconds.
double microseconds(double seconds) { return 1e6 * seconds; }

Json complete_event(const std::string& name, const char* category, std::size_t rank, double begin,
                    double seconds) {
  return {{"name", name},
          {"cat", category},
          {"ph", "X"},
          {"pid", rank},
          {"tid", 0},
          {"ts", microseconds(begin)},
          {"dur", microseconds(seconds)}};
}

/// A step lasts from its data to the end of its last phase.
void add_steps(const RankSpans& rank, std::size_t number, Json& events) {
  struct Extent {
    double begin, end;
  };
  std::map<std::int64_t, Extent> steps;
  for (const RecordedSpan& span : rank.spans) {
    const double end = span.begin + span.seconds;
    const auto [at, is_new] = steps.try_emplace(span.step, Extent{span.begin, end});
    at->second.end = std::max(at->second.end, end);
  }
  for (const auto& [step, extent] : steps) {
    events.push_back(complete_event(fmt::format("step {}", step), "step", number, extent.begin,
                                    extent.end - extent.begin));
  }
}

}  // namespace

std::string chrome_trace(const std::vector<RankSpans>& ranks) {
  Json events = Json::array();
  for (std::size_t r = 0; r < ranks.size(); ++r) {
    events.push_back({{"name", "process_name"},
                      {"ph", "M"},
                      {"pid", r},
                      {"args", {{"name", fmt::format("rank {} on {}", r, ranks[r].host)}}}});
    events.push_back(
        {{"name", "process_sort_index"}, {"ph", "M"}, {"pid", r}, {"args", {{"sort_index", r}}}});
    add_steps(ranks[r], r, events);
    for (const RecordedSpan& span : ranks[r].spans) {
      events.push_back(complete_event(name_of(span.span), "phase", r, span.begin, span.seconds));
    }
  }
  return json_text(Json{{"displayTimeUnit", "ms"}, {"traceEvents", events}}) + "\n";
}

std::string spans_to_bytes(const RankSpans& rank) {
  Json spans = Json::array();
  for (const RecordedSpan& each : rank.spans) {
    spans.push_back({static_cast<int>(each.span), each.step, each.begin, each.seconds});
  }
  return json_text(Json{{"host", rank.host}, {"spans", spans}});
}

RankSpans spans_from_bytes(const std::string& bytes) {
  try {
    const Json json = Json::parse(bytes);
    RankSpans rank{.host = json.at("host").get<std::string>(), .spans = {}};
    for (const Json& each : json.at("spans")) {
      const auto span = whole_number<std::size_t>(each.at(0));
      if (span >= kStepSpans) throw InputError(fmt::format("a rank's trace has a phase {}", span));
      rank.spans.push_back({static_cast<StepSpan>(span), whole_number<std::int64_t>(each.at(1)),
                            each.at(2).get<double>(), each.at(3).get<double>()});
    }
    return rank;
  } catch (const Json::exception& error) {
    throw InputError(fmt::format("what a rank sent is no trace: {}", error.what()));
  }
}

}  // namespace thaw
