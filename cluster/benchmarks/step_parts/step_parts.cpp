// `thaw train`, and where the time of its steps went:
//
//   step_parts PREFIX train CONFIG.toml ...      also under mpirun
//
// Each rank writes PREFIX.RANK.json: of each step its seconds, those of its phases (data, forward,
// backward, reduction, optimizer), those in which it multiplied matrices or convolved (`products`)
// and computed attention, and the limit: what the same products would take alone. The limit is
// measured after the training, shape by shape, by all ranks at the same time: see product_shape.h.
// What is made of it, cluster/benchmarks/limit.py says. For the host alone: what a GPU computes is
// queued.
#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <fstream>
#include <iterator>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "cluster/benchmarks/step_parts/operator_log.h"
#include "cluster/benchmarks/step_parts/product_shape.h"
#include "core/base/progress/attention_timer.h"
#include "core/base/progress/step_spans.h"
#include "core/base/system.h"
#include "core/parallel/communicator.h"
#include "core/parallel/stage_coordinator.h"
#include "launch/run/stage_coordination.h"
#include "launch/train.h"

namespace thaw {
namespace {

using Json = nlohmann::ordered_json;

constexpr double kBudget = 0.15;  // seconds for each shape alone

struct Step {
  double begin = 0, end = 0;  ///< the end: the next one's begin
  SpanSeconds phases{};
  double products = 0, attention = 0, limit = 0;
};

/// Of the recorder's clock. What a recorder began after its last update (data that nobody trained
/// on) is no step.
std::vector<Step> steps_of(const std::vector<RecordedSpan>& spans) {
  std::map<std::int64_t, Step> found;
  for (const RecordedSpan& span : spans) {
    const auto [at, is_new] = found.try_emplace(span.step);
    Step& step = at->second;
    if (is_new) {
      step.begin = span.begin;
      if (at != found.begin()) std::prev(at)->second.end = span.begin;
    }
    step.end = span.begin + span.seconds;
    step.phases[static_cast<std::size_t>(span.span)] += span.seconds;
  }
  std::vector<Step> steps;
  for (const auto& [number, step] : found) {
    if (seconds_in(step.phases, StepSpan::kUpdate) > 0) steps.push_back(step);
  }
  return steps;
}

/// Adds what the log knows, both clocks having begun together. Attention is told apart by what had
/// been spent at the first operators of neighbouring steps, before which none was computed.
void add_operators(std::vector<Step>& steps, const std::vector<OperatorLog::Entry>& entries,
                   const std::vector<double>& alone, double attention_at_end) {
  const auto first_from = [&](double time) {
    return std::lower_bound(
        entries.begin(), entries.end(), time,
        [](const OperatorLog::Entry& entry, double value) { return entry.begin < value; });
  };
  const auto attention_before = [&](auto at) {
    return at == entries.end() ? attention_at_end : at->attention_before;
  };
  for (Step& step : steps) {
    const auto first = first_from(step.begin), behind = first_from(step.end);
    step.attention = attention_before(behind) - attention_before(first);
    for (auto at = first; at != behind; ++at) {
      if (at->shape == OperatorLog::kAttention) {
        step.attention += at->seconds;
      } else {
        step.products += at->seconds;
        step.limit += at->times * alone[at->shape];
      }
    }
  }
}

Json json_of(const Step& step) {
  Json json = {{"seconds", step.end - step.begin}};
  for (std::size_t i = 0; i < kStepSpans; ++i) {
    json[name_of(static_cast<StepSpan>(i))] = step.phases[i];
  }
  json["products"] = step.products;
  json["attention"] = step.attention;
  json["limit"] = step.limit;
  return json;
}

/// Of each shape: how often it was computed, how long that took in all, and how long one takes
/// alone.
Json json_of(const OperatorLog::Logged& log, const std::vector<double>& alone) {
  std::vector<double> seconds(alone.size());
  std::vector<std::int64_t> times(alone.size());
  for (const OperatorLog::Entry& entry : log.entries) {
    if (entry.shape == OperatorLog::kAttention) continue;
    seconds[entry.shape] += entry.seconds;
    times[entry.shape] += entry.times;
  }
  Json list = Json::array();
  for (std::size_t i = 0; i < alone.size(); ++i) {
    const ProductShape& shape = log.shapes[i];
    list.push_back({{"shape", describe(shape)},
                    {"operations", operations(shape)},
                    {"times", times[i]},
                    {"seconds", seconds[i]},
                    {"seconds_alone", alone[i]}});
  }
  return list;
}

/// Trains, measures, writes. Returns the command's status.
int measure(const std::string& prefix, const std::vector<std::string>& arguments) {
  int rank = 0, ranks = 1;
  const auto remembering = [&](Communicator& communicator, const Configuration& configuration,
                               StepMonitor& monitor) -> std::unique_ptr<StageCoordinator> {
    rank = communicator.rank();
    ranks = communicator.size();
    return coordinator_for(communicator, configuration, monitor);
  };
  OperatorLog::Logged logged;
  std::vector<Step> steps;
  {
    const OperatorLog log;
    const SpanRecorder recorder(0);
    const int status = run_train_with(arguments, remembering);
    if (status != 0) return status;
    logged = log.logged();
    steps = steps_of(recorder.spans());
  }
  const double attention = attention_seconds();
  std::vector<double> alone;
  for (const ProductShape& shape : logged.shapes) alone.push_back(seconds_alone(shape, kBudget));
  add_operators(steps, logged.entries, alone, attention);
  Json of_steps = Json::array();
  for (const Step& step : steps) of_steps.push_back(json_of(step));
  const std::string path = fmt::format("{}.{}.json", prefix, rank);
  std::ofstream file(path);
  file << Json{{"rank", rank},
               {"ranks", ranks},
               {"steps", of_steps},
               {"shapes", json_of(logged, alone)}}
       << '\n';
  file.close();
  if (!file) {
    fmt::print(stderr, "{}: could not be written\n", path);
    return 3;
  }
  return 0;
}

}  // namespace
}  // namespace thaw

int main(int count, char** values) {
  thaw::keep_freed_memory();
  const std::vector<std::string> arguments(values + 1, values + count);
  if (arguments.size() < 3 || arguments[1] != "train") {
    fmt::print(stderr, "Usage: step_parts PREFIX train CONFIG.toml ...\n");
    return 2;
  }
  return thaw::measure(arguments[0], {arguments.begin() + 2, arguments.end()});
}
