#include "dist/forecast/step_forecast.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <stdexcept>

#include "dist/forecast/gradient_traffic.h"
#include "dist/forecast/sum_seconds.h"

namespace thaw {

namespace {

// Note [A step replayed]
// The rank with the largest share of the batch sets the pace: the others wait for it in the first
// sum. It goes through its micro-batches; in the last backward, gradients become ready one after
// another, and a bucket with them. Buckets leave in their order into one queue, as the reducer's
// do: beside backward, where sums overlap, and backward then goes slower by the network's
// `overlap_cost` for as long as something is under way; else when it has ended. The last bucket
// always waits for its end. What is under way then is exposed, and the optimizer follows.
// `overlap = "auto"` keeps what is faster, as OverlapChoice does by trying.
//
// Not replayed: evaluations, checkpoints, audits, transitions, and that one rank is slower than
// another for other reasons than its share.

/// Seconds that the helper takes to see that the other ranks have a bucket ready too: it sleeps 20
/// to 320 microseconds between looks (Note [A helper that never spins] in helper_sender.cpp).
constexpr double kArrivalPause = 160e-6;
constexpr std::int64_t kArrivalBytes = 8;

/// The last backward and the sums: seconds from its begin.
struct Passage {
  double backward = 0;  ///< its end
  double end = 0;       ///< of backward and all sums
  double sums = 0;      ///< for which something was summed
  std::vector<BucketTimes> buckets;
};

/// Backward that goes on while sums are under way, or stands.
class Clock {
 public:
  explicit Clock(double overlap_cost) : speed_(std::max(0.0, 1 - overlap_cost)) {}

  double now() const { return now_; }
  double busy_until() const { return busy_until_; }

  /// Until backward has come to `target` seconds of what it takes alone.
  void advance(double target) {
    double left = target - done_;
    if (left <= 0) return;
    if (now_ < busy_until_) {
      const double beside = (busy_until_ - now_) * speed_;
      if (beside >= left) {
        now_ += left / speed_;
        done_ = target;
        return;
      }
      left -= beside;
      now_ = busy_until_;
    }
    now_ += left;
    done_ = target;
  }

  /// A sum behind those that are under way; returns when it begins.
  double queue(double seconds) {
    const double begin = std::max(now_, busy_until_);
    busy_until_ = begin + seconds;
    return begin;
  }

 private:
  const double speed_;
  double now_ = 0;
  double done_ = 0;        ///< of backward
  double busy_until_ = 0;  ///< something is summed without a gap
};

class StepReplay {
 public:
  StepReplay(const StageCosts& costs, const ForecastJob& job, const Network& network)
      : costs_(costs),
        job_(job),
        network_(network),
        rate_(rate_of(network, {job.ranks, job.threads, job.precision, costs.flops_per_second})) {
    const bool canonical = job.shards > 0;
    const std::int64_t pieces = canonical ? job.shards : job.ranks;
    const auto share = static_cast<double>((job.batch + pieces - 1) / pieces);
    passes_ = canonical ? std::ceil(static_cast<double>(job.shards) /
                                    static_cast<double>(std::min(job.ranks, job.shards)))
                        : 1;
    if (!canonical && job.micro_batch > 0) {
      passes_ = std::ceil(share / static_cast<double>(job.micro_batch));
    }
    samples_ = canonical ? share : share / passes_;
    traffic_ = traffic_of(costs, job, samples_, rate_);
    small_sum_ = sum_seconds(network, job.ranks, costs.sums.bytes);
  }

  StepForecast run() {
    StepForecast step;
    for (const GroupCosts& group : costs_.groups) {
      step.forward += passes_ * group.forward.at(samples_) / rate_;
    }
    step.other = (costs_.step_fixed + passes_ * costs_.loss.at(samples_)) / rate_;
    step.other +=
        (costs_.sums.step + passes_ * (costs_.sums.forward + costs_.sums.backward)) * small_sum_;
    const double before = step.forward + step.other + (passes_ - 1) * traffic_.backward;
    Passage passage = chosen_passage(step.overlaps);
    step.backward = (passes_ - 1) * traffic_.backward + passage.backward;
    step.exposed = passage.end - passage.backward;
    step.sums = passage.sums;
    step.buckets = std::move(passage.buckets);
    for (BucketTimes& bucket : step.buckets) {
      bucket.ready += before;
      bucket.begun += before;
      bucket.done += before;
    }
    update(step);
    count(step);
    step.seconds = step.forward + step.backward + step.other + step.exposed + step.optimizer;
    return step;
  }

 private:
  bool reduces() const { return job_.ranks > 1 && !traffic_.loads.empty(); }
  bool sharded() const { return job_.ranks > 1 && job_.sharding != Sharding::kNone; }

  Passage chosen_passage(bool& overlaps) const {
    overlaps = false;
    if (!reduces()) return {traffic_.backward, traffic_.backward, 0, {}};
    const bool may = traffic_.loads.size() > 1 && job_.shards == 0;
    const Overlap wanted =
        network_.on_gpus && job_.overlap == Overlap::kAuto ? Overlap::kOn : job_.overlap;
    Passage apart = passed(/*overlaps=*/false);
    if (!may || wanted == Overlap::kOff) return apart;
    Passage beside = passed(/*overlaps=*/true);
    overlaps = wanted == Overlap::kOn || beside.end < apart.end;
    return overlaps ? beside : apart;
  }

  Passage passed(bool overlaps) const {
    Passage passage;
    Clock clock(network_.overlap_cost);
    double quiet = kLongRest;
    for (std::size_t i = 0; i < traffic_.loads.size(); ++i) {
      const GradientTraffic::Load& load = traffic_.loads[i];
      const bool is_last = i + 1 == traffic_.loads.size();
      clock.advance(overlaps && !is_last ? load.ready : traffic_.backward);
      if (is_last) passage.backward = clock.now();
      const double ready = clock.now();
      if (i > 0) quiet = std::max(0.0, ready - clock.busy_until());
      double seconds = seconds_of(load, quiet);
      if (overlaps && !is_last && !network_.on_gpus) {
        seconds += kArrivalPause + sum_seconds(network_, job_.ranks, kArrivalBytes);
      }
      if (is_last && traffic_.flag_bytes > 0) {
        seconds += sum_seconds(network_, job_.ranks, traffic_.flag_bytes);
      }
      const double begun = clock.queue(seconds);
      passage.buckets.push_back({load.bytes + load.marks, ready, begun, clock.busy_until()});
      passage.sums += seconds;
    }
    passage.end = std::max(passage.backward, clock.busy_until());
    return passage;
  }

  double seconds_of(const GradientTraffic::Load& load, double quiet) const {
    const double marks = load.marks > 0 ? sum_seconds(network_, job_.ranks, load.marks, quiet) : 0;
    if (job_.shards > 0) return tree_seconds(network_, job_.ranks, load.bytes);
    if (sharded()) return marks + scatter_seconds(network_, job_.ranks, load.bytes);
    return marks + sum_seconds(network_, job_.ranks, load.bytes, marks > 0 ? 0 : quiet);
  }

  /// The optimizer, and what follows it where ranks update slices: the updates go to all.
  void update(StepForecast& step) const {
    const double share = sharded() ? 1 / static_cast<double>(job_.ranks) : 1;
    const auto bytes = static_cast<double>(gradient_bytes(costs_));
    step.optimizer = (costs_.optimizer_fixed + costs_.optimizer_per_byte * share * bytes) / rate_;
    if (!sharded()) return;
    double gathering = 0;
    for (const GradientTraffic::Load& load : traffic_.loads) {
      gathering += gather_seconds(network_, job_.ranks, load.whole);
    }
    step.sums += gathering;
    step.exposed += gathering;
  }

  void count(StepForecast& step) const {
    step.memory_bytes = memory();
    if (!reduces()) return;
    step.payload_bytes = traffic_.payload_bytes;
    step.padding_bytes = traffic_.padding_bytes;
    step.collectives = static_cast<std::int64_t>(traffic_.loads.size());
    double sent = 0;
    for (const GradientTraffic::Load& load : traffic_.loads) {
      sent += sent_bytes(network_, job_.ranks, load.bytes + load.marks);
    }
    step.sent_bytes = std::llround(sent);
  }

  std::int64_t memory() const {
    const std::int64_t gradients = gradient_bytes(costs_);
    const auto ranks = sharded() ? job_.ranks : 1;
    std::int64_t held = reduces() ? traffic_.held_bytes : gradients;
    std::int64_t largest = 0;
    for (const GradientTraffic::Load& load : traffic_.loads) {
      largest = std::max(largest, load.bytes);
    }
    if (job_.shards > 0) {  // a partial sum for each level of the tree
      held *= std::bit_width(static_cast<std::uint64_t>(passes_));
    } else if (sharded() && job_.sharding == Sharding::kGradients) {
      held = held / ranks + std::min(held, 3 * largest);
    }
    const double state =
        costs_.memory.state_per_byte * static_cast<double>(gradients) / static_cast<double>(ranks);
    return costs_.memory.fixed + held + largest + costs_.memory.kept_state / ranks +
           std::llround(state + costs_.memory.activations.at(samples_));
  }

  const StageCosts& costs_;
  const ForecastJob& job_;
  const Network& network_;
  const double rate_;
  double passes_ = 1;   ///< forwards and backwards of a step
  double samples_ = 0;  ///< of each
  GradientTraffic traffic_;
  double small_sum_ = 0;
};

}  // namespace

StepForecast forecast_step(const StageCosts& costs, const ForecastJob& job,
                           const Network& network) {
  if (job.ranks < 1 || job.batch < 1) {
    throw std::invalid_argument("a forecast for no ranks or no samples");
  }
  return StepReplay(costs, job, network).run();
}

}  // namespace thaw
