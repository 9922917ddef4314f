#include "dist/coordination/watchdog.h"

#include <fmt/format.h>
#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <optional>
#include <set>
#include <thread>
#include <utility>
#include <vector>

#include "core/base/error.h"
#include "core/base/stopwatch.h"
#include "core/base/system.h"
#include "dist/coordination/job_end.h"
#include "dist/coordination/rank_table.h"

namespace thaw {

namespace {

// Note [A rank that was away itself]
// After a process was stopped and continued, its clock has run on, and all others seem to have been
// silent for as long. So a watchdog that wakes up much later than it meant to takes that time off
// everything that it measures: of the others' silence, and of its own rank's standing still.
constexpr double kAbsentBeats = 4;

// Note [Last words]
// When a rank dies, the launcher sends SIGTERM to the others and kills them about a second later;
// it names the dead rank, but not what that was doing. So for most of this second the survivors
// beat fast, and name whoever is silent. Ranks that ended themselves have said that they leave;
// where nobody is silent, the user has ended the job.
constexpr double kLastWordsSeconds = 0.75;
constexpr double kLastWordsBeat = 0.05;
constexpr double kDeadSeconds = 0.5;
constexpr double kDeadBeats = 2.5;

/// Ranks that are neither the first to tell nor next to the accused leave it to those for so long.
constexpr double kOthersSpeakSeconds = 1.0;

constexpr double kCloseSeconds = 10;

void sleep_for(double seconds) {
  std::this_thread::sleep_for(std::chrono::duration<double>(seconds));
}

/// Something that `poll` waits for and another thread can raise.
class Alarm {
 public:
  Alarm() : descriptor_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
    if (descriptor_ < 0) throw RunError("eventfd failed: too many open files?");
  }
  ~Alarm() { close(descriptor_); }
  Alarm(const Alarm&) = delete;
  Alarm& operator=(const Alarm&) = delete;
  void raise() const { eventfd_write(descriptor_, 1); }
  int descriptor() const { return descriptor_; }

 private:
  int descriptor_;
};

}  // namespace

double beat_seconds(const Deadlines& deadlines) {
  double shortest = 1e9;
  for (const double deadline : {deadlines.hang, deadlines.transition}) {
    if (deadline > 0) shortest = std::min(shortest, deadline);
  }
  return std::clamp(shortest / 16, 0.02, 0.25);
}

class Watchdog::Thread {
 public:
  Thread(std::unique_ptr<MessageChannel> channel, const StepMonitor& monitor,
         WatchdogOptions options, std::vector<std::string> hosts)
      : channel_(std::move(channel)),
        monitor_(monitor),
        options_(std::move(options)),
        hosts_(std::move(hosts)),
        self_(channel_->rank()),
        ranks_(channel_->size()),
        beat_(options_.beat_seconds > 0 ? options_.beat_seconds : beat_seconds(options_.deadlines)),
        table_(self_, ranks_, 0),
        thread_([this] { run(); }) {}

  ~Thread() {
    if (thread_.joinable()) stop(Order::kLeave);
  }
  Thread(const Thread&) = delete;
  Thread& operator=(const Thread&) = delete;

  /// No rank hangs any more: ends the channel in order.
  void close() { stop(Order::kClose); }

 private:
  enum class Order { kWatch, kClose, kLeave };

  void stop(Order order) {
    order_ = order;
    alarm_.raise();
    thread_.join();
  }

  void run() {
    pthread_setname_np(pthread_self(), "thaw-watchdog");  // as debuggers and top show it
    try {
      while (order_ == Order::kWatch) {
        notice_absence();
        exchange(/*left=*/false);
        if (!ended_) look();
        if (wait_for_termination()) say_last_words();
      }
      if (order_ == Order::kClose) {
        close_channel();
      } else {
        leave();
      }
    } catch (const std::exception& error) {
      options_.report(fmt::format("{}: the watchdog has ended: {}", name_of(self_), error.what()));
    }
  }

  std::string name_of(int rank) const {
    return thaw::name_of(rank, hosts_[static_cast<std::size_t>(rank)]);
  }

  void notice_absence() {
    const double now = clock_.seconds();
    if (const double gap = now - last_woken_; gap > kAbsentBeats * beat_) {
      table_.absent(gap - beat_);
      moved_ += gap - beat_;
    }
    last_woken_ = now;
  }

  /// Tells what is known and hears the others.
  void exchange(bool left) {
    const double now = clock_.seconds();
    if (const std::uint64_t progress = monitor_.progress(); progress != progress_ || beats_ == 0) {
      progress_ = progress;
      moved_ = now;
    }
    Heartbeat own{self_, ++beats_, monitor_.place(), std::max(0.0, now - moved_), left};
    table_.hear(own, now);
    const std::string news = encode(table_.known());
    for (const int rank : left ? all_others() : beat_targets(self_, ranks_, beats_)) {
      channel_->send(rank, news);
    }
    receive();
  }

  void receive() {
    while (const std::optional<MessageChannel::Message> message = channel_->receive()) {
      if (message->bytes.empty()) said_goodbye_.insert(message->from);
      for (const Heartbeat& beat : decode_heartbeats(message->bytes, ranks_)) {
        table_.hear(beat, clock_.seconds());
      }
    }
  }

  std::vector<int> all_others() const {
    std::vector<int> others;
    for (int rank = 0; rank < ranks_; ++rank) {
      if (rank != self_) others.push_back(rank);
    }
    return others;
  }

  void look() {
    const double now = clock_.seconds();
    const std::vector<RankView> views = table_.views(now);
    const Verdict verdict = judge(views, self_, options_.deadlines);
    tell_stragglers(verdict, views);
    if (verdict.kind == Verdict::Kind::kFine) {
      since_.reset();
      return;
    }
    if (!since_) since_ = now;
    if (!is_witness(verdict, views) && now - *since_ < kOthersSpeakSeconds) return;
    ended_ = true;
    options_.report(fmt::format("{} reports that {}", name_of(self_),
                                describe(verdict, views, hosts_, options_.deadlines)));
    sleep_for(2 * beat_);  // for the other witnesses to say the same
    leave();
    options_.end_job();
  }

  /// The lowest rank that is left hears all; two hear the accused first hand. Others are quiet, so
  /// that a large job does not say the same a thousand times.
  bool is_witness(const Verdict& verdict, const std::vector<RankView>& views) const {
    const auto accused = [&](int rank) {
      return std::find(verdict.ranks.begin(), verdict.ranks.end(), rank) != verdict.ranks.end();
    };
    const auto lowest = std::find_if(views.begin(), views.end(), [&](const RankView& view) {
      return !view.last.left && !accused(view.last.rank);
    });
    return (lowest != views.end() && lowest->last.rank == self_) ||
           std::any_of(verdict.ranks.begin(), verdict.ranks.end(),
                       [&](int rank) { return hears_every_beat(self_, rank, ranks_); });
  }

  /// Once for each time that a rank lags; by one rank.
  void tell_stragglers(const Verdict& verdict, const std::vector<RankView>& views) {
    const std::set<int> slow(verdict.slow.begin(), verdict.slow.end());
    const auto teller = std::find_if(views.begin(), views.end(), [&](const RankView& view) {
      return !view.last.left && !slow.contains(view.last.rank);
    });
    for (const int rank : slow) {
      if (told_.contains(rank) || teller == views.end() || teller->last.rank != self_) continue;
      const auto index = static_cast<std::size_t>(rank);
      options_.report(describe_slow(views[index], hosts_[index], options_.deadlines));
    }
    told_ = slow;
  }

  /// Sleeps until the next beat or an order; true once SIGTERM has come.
  bool wait_for_termination() {
    const int termination = options_.termination ? options_.termination->descriptor() : -1;
    pollfd descriptors[] = {{alarm_.descriptor(), POLLIN, 0}, {termination, POLLIN, 0}};
    poll(descriptors, 2, static_cast<int>(beat_ * 1e3));
    return (descriptors[1].revents & POLLIN) != 0;
  }

  void say_last_words() {
    const Stopwatch since;
    bool said = ended_;
    while (!said && since.seconds() < kLastWordsSeconds) {
      exchange(/*left=*/false);
      for (const RankView& view : table_.views(clock_.seconds())) {
        said = said || view.last.left;  // and has told why
      }
      said = said || (since.seconds() > kLastWordsSeconds / 3 && name_the_dead());
      sleep_for(kLastWordsBeat);
    }
    leave();
    options_.termination->die();
  }

  bool name_the_dead() {
    bool named = false;
    for (const RankView& view : table_.views(clock_.seconds())) {
      const int rank = view.last.rank;
      if (view.silent_seconds < std::max(kDeadSeconds, kDeadBeats * beat_) ||
          !hears_every_beat(self_, rank, ranks_)) {
        continue;
      }
      options_.report(fmt::format(
          "{} reports that the job is being ended and {} has not answered for {:.1f} s: it was "
          "killed or has crashed; it was last in {}",
          name_of(self_), name_of(rank), view.silent_seconds, describe(view.last.place)));
      named = true;
    }
    return named;
  }

  /// Tells everybody that this rank goes and has said why.
  void leave() { exchange(/*left=*/true); }

  /// After its last message each rank sends an empty one, and takes what comes until it has one
  /// from everybody that sends to it: so nothing is left in the channel.
  void close_channel() {
    const Stopwatch since;
    std::vector<int> to_tell = all_targets(self_, ranks_);
    const std::vector<int> sources = all_sources(self_, ranks_);
    while (true) {
      std::erase_if(to_tell, [&](int rank) { return channel_->send(rank, ""); });
      receive();
      if (to_tell.empty() && std::all_of(sources.begin(), sources.end(),
                                         [&](int rank) { return said_goodbye_.contains(rank); })) {
        channel_->close();
        return;
      }
      if (since.seconds() > kCloseSeconds) return;  // its end is at hand anyway
      sleep_for(1e-3);
    }
  }

  std::unique_ptr<MessageChannel> channel_;
  const StepMonitor& monitor_;
  const WatchdogOptions options_;
  const std::vector<std::string> hosts_;
  const int self_, ranks_;
  const double beat_;
  const Stopwatch clock_;
  const Alarm alarm_;
  std::atomic<Order> order_ = Order::kWatch;

  // Of the thread alone.
  RankTable table_;
  std::uint64_t beats_ = 0;
  std::uint64_t progress_ = 0;  ///< the monitor's at the last beat
  double moved_ = 0;            ///< when that changed
  double last_woken_ = 0;
  bool ended_ = false;           ///< has found a hang and told it
  std::optional<double> since_;  ///< when it was found
  std::set<int> told_;           ///< stragglers of the last look
  std::set<int> said_goodbye_;

  std::thread thread_;  ///< last: starts when all else is there
};

Watchdog::Watchdog(Communicator& communicator, std::unique_ptr<MessageChannel> channel,
                   StepMonitor& monitor, WatchdogOptions options)
    : communicator_(communicator),
      monitor_(monitor),
      thread_(std::make_unique<Thread>(std::move(channel), monitor, std::move(options),
                                       communicator.all_gather(host_name()))) {}

Watchdog::~Watchdog() = default;

void Watchdog::finish() {
  monitor_.phase(RankPhase::kEnding);
  {
    const StepMonitor::Collective noted(monitor_, CollectiveKind::kBarrier);
    communicator_.barrier();
  }
  thread_->close();
}

}  // namespace thaw
