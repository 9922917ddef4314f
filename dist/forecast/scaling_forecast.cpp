#include "dist/forecast/scaling_forecast.h"

#include <algorithm>
#include <functional>
#include <iterator>
#include <optional>
#include <utility>

namespace thaw {

namespace {

// Note [Help is replayed]
// Which setting would help follows from no rule of thumb: each is put into the job, and the same
// replay says what comes of it. So a setting is named only where it gains, with what it gains; and
// the list says what was tried besides, for who expected more of it.

constexpr double kPaysOff = 1.5;
constexpr std::int64_t kBatchTimes[] = {4, 16};  ///< larger batches that are tried, ascending
constexpr std::int64_t kMostShards = 4096;  ///< that train.shards takes (core/config/options.cpp)

ForecastJob job_at(const ScalingQuestion& question, std::int64_t ranks) {
  ForecastJob job = question.job;
  job.ranks = ranks;
  if (question.weak) job.batch *= ranks;
  return job;
}

double samples_per_second(const ForecastJob& job, const StepForecast& step) {
  return step.seconds > 0 ? static_cast<double>(job.batch) / step.seconds : 0;
}

/// A setting that may be tried.
struct Candidate {
  std::string setting;
  ForecastJob job;
  bool same_training = true;
};

std::int64_t share_of(const ForecastJob& job) { return (job.batch + job.ranks - 1) / job.ranks; }

void add_sharding(const ForecastJob& job, std::vector<Candidate>& candidates) {
  if (job.wire != GradientWire::kSame) return;  // the two are refused together
  for (const Sharding sharding : {Sharding::kOptimizer, Sharding::kGradients}) {
    if (job.sharding == sharding) continue;
    Candidate shards{"distributed.sharding = \"" + std::string(name_of(sharding)) + "\"", job};
    shards.job.sharding = sharding;
    candidates.push_back(std::move(shards));
  }
}

/// Of several caps the best stands for all of them.
void add_buckets(const StageCosts& costs, const ForecastJob& job, const Network& network,
                 std::vector<Candidate>& candidates) {
  constexpr std::int64_t kMebi = 1 << 20;
  std::optional<Candidate> best;
  double least = 0;
  for (const std::int64_t mebi : {1, 4, 16, 25, 64, 256, 1024}) {
    if (job.buckets.cap_bytes == mebi * kMebi) continue;
    Candidate buckets{"distributed.bucket-bytes = " + std::to_string(mebi * kMebi), job};
    buckets.job.buckets.cap_bytes = mebi * kMebi;
    const double seconds = forecast_step(costs, buckets.job, network).seconds;
    if (!best || seconds < least) {
      least = seconds;
      best = std::move(buckets);
    }
  }
  if (best) candidates.push_back(std::move(*best));
}

/// Larger steps, in pieces no larger than now: of canonical sums these are shards, beside which
/// training refuses micro-batches.
void add_batches(const ForecastJob& job, std::vector<Candidate>& candidates) {
  const std::int64_t share = share_of(job);
  const std::int64_t micro = job.micro_batch > 0 ? std::min(job.micro_batch, share) : share;
  if (job.shards == 0 && micro < share) {
    Candidate whole{"train.micro-batch = 0", job};
    whole.job.micro_batch = 0;
    candidates.push_back(std::move(whole));
  }
  for (const std::int64_t times : kBatchTimes) {
    Candidate larger{"data.batch = " + std::to_string(times * job.batch), job, false};
    larger.job.batch *= times;
    if (job.shards > 0) {
      larger.job.shards *= times;
      if (larger.job.shards > kMostShards) continue;
      larger.setting += ", train.shards = " + std::to_string(larger.job.shards);
    } else {
      larger.job.micro_batch = micro;
      larger.setting += ", train.micro-batch = " + std::to_string(micro);
    }
    candidates.push_back(std::move(larger));
  }
}

/// What there is to try in place of `job`, at its number of ranks.
std::vector<Candidate> candidates_of(const StageCosts& costs, const ForecastJob& job,
                                     const Network& network) {
  std::vector<Candidate> candidates;
  const auto add = [&](std::string setting, bool same,
                       const std::function<void(ForecastJob&)>& set) {
    Candidate candidate{std::move(setting), job, same};
    set(candidate.job);
    candidates.push_back(std::move(candidate));
  };
  if (job.shards > 0) {
    add("train.reduction = \"buckets\"", true, [](ForecastJob& its) { its.shards = 0; });
  } else {
    if (job.wire == GradientWire::kSame && job.sharding == Sharding::kNone) {
      add("distributed.wire = \"bfloat16\"", false,
          [](ForecastJob& its) { its.wire = GradientWire::kBFloat16; });
    }
    if (job.overlap != Overlap::kAuto) {
      add("distributed.overlap = \"auto\"", true,
          [](ForecastJob& its) { its.overlap = Overlap::kAuto; });
    }
    add_buckets(costs, job, network, candidates);
    add_sharding(job, candidates);
  }
  add_batches(job, candidates);
  return candidates;
}

}  // namespace

std::int64_t largest_batch(const ForecastJob& job, bool weak, std::int64_t ranks) {
  return job.batch * (weak ? ranks : 1) * *std::rbegin(kBatchTimes);
}

SimulatedPoint simulated_point(const ScalingQuestion& question, std::int64_t ranks) {
  const ForecastJob job = job_at(question, ranks);
  SimulatedPoint point;
  point.stage = question.costs.stage;
  point.ranks = ranks;
  point.batch = job.batch;
  point.step = forecast_step(question.costs, job, question.network);
  point.samples_per_second = samples_per_second(job, point.step);
  const ForecastJob alone = job_at(question, 1);
  const double of_one =
      samples_per_second(alone, forecast_step(question.costs, alone, question.network));
  if (of_one > 0) {
    point.efficiency = point.samples_per_second / static_cast<double>(ranks) / of_one;
  }
  return point;
}

ScalingLimit scaling_limit(const ScalingQuestion& question, std::int64_t most) {
  ScalingLimit limit;
  double rate = simulated_point(question, 1).samples_per_second;
  while (2 * limit.ranks <= most) {
    const double doubled = simulated_point(question, 2 * limit.ranks).samples_per_second;
    limit.next_gain = rate > 0 ? doubled / rate : 0;
    if (limit.next_gain < kPaysOff) {
      limit.reached = true;
      break;
    }
    limit.ranks *= 2;
    rate = doubled;
  }
  return limit;
}

std::vector<Remedy> remedies(const ScalingQuestion& question, std::int64_t ranks) {
  const ForecastJob job = job_at(question, ranks);
  const double now = samples_per_second(job, forecast_step(question.costs, job, question.network));
  std::vector<Remedy> found;
  for (const Candidate& each : candidates_of(question.costs, job, question.network)) {
    const StepForecast step = forecast_step(question.costs, each.job, question.network);
    const double gain = now > 0 ? samples_per_second(each.job, step) / now : 1;
    found.push_back({each.setting, gain, step.memory_bytes, each.same_training});
  }
  std::stable_sort(found.begin(), found.end(),
                   [](const Remedy& a, const Remedy& b) { return a.gain > b.gain; });
  return found;
}

}  // namespace thaw
