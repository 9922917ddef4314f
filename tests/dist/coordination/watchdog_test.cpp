// The watchdog with ranks as threads of this process: clean under ThreadSanitizer too.
#include "dist/coordination/watchdog.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <mutex>
#include <optional>
#include <thread>

#include "core/base/stopwatch.h"
#include "dist/communicator/in_process/in_process.h"

namespace thaw {
namespace {

using ::testing::AllOf;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr double kDeadline = 0.8;
// Where nothing may come to it, nor to the quarter of it that is remarked on: a busy machine alone
// holds a thread up for a good part of a second.
constexpr double kLongDeadline = 20;

void sleep_for(double seconds) {
  std::this_thread::sleep_for(std::chrono::duration<double>(seconds));
}

/// A channel that can be cut off, as a stopped process is.
class CutChannel final : public MessageChannel {
 public:
  CutChannel(std::unique_ptr<MessageChannel> channel, const std::atomic<bool>& cut)
      : channel_(std::move(channel)), cut_(cut) {}
  int rank() const override { return channel_->rank(); }
  int size() const override { return channel_->size(); }
  bool send(int to, std::string_view bytes) override { return cut_ || channel_->send(to, bytes); }
  std::optional<Message> receive() override { return cut_ ? std::nullopt : channel_->receive(); }
  void close() override { channel_->close(); }

 private:
  std::unique_ptr<MessageChannel> channel_;
  const std::atomic<bool>& cut_;
};

/// One rank's watchdog and what it said.
class WatchedRank {
 public:
  WatchedRank(Communicator& communicator, std::unique_ptr<MessageChannel> channel, double deadline)
      : communicator_(communicator) {
    watchdog_.emplace(communicator, std::make_unique<CutChannel>(std::move(channel), cut), monitor,
                      WatchdogOptions{.deadlines = {.hang = deadline, .transition = deadline},
                                      .beat_seconds = 0.02,
                                      .report =
                                          [this](const std::string& text) {
                                            const std::lock_guard lock(mutex_);
                                            said_.push_back(text);
                                          },
                                      .end_job = [this] { ended = true; }});
  }

  void finish() { watchdog_->finish(); }
  void leave() { watchdog_.reset(); }

  /// For so long at most; false if the watchdog has not ended the job by then.
  bool ends_within(double seconds) {
    const Stopwatch watch;
    while (!ended && watch.seconds() < seconds) sleep_for(0.005);
    return ended;
  }

  std::vector<std::string> said() {
    const std::lock_guard lock(mutex_);
    return said_;
  }

  StepMonitor monitor;
  std::atomic<bool> cut = false;
  std::atomic<bool> ended = false;

 private:
  Communicator& communicator_;
  std::mutex mutex_;
  std::vector<std::string> said_;
  std::optional<Watchdog> watchdog_;
};

/// Runs `body` on ranks in step 12 of stage "head"; what each rank's watchdog said.
std::vector<std::vector<std::string>> run_watched(
    int ranks, const std::function<void(Communicator&, WatchedRank&)>& body,
    double deadline = kDeadline) {
  auto channels = make_in_process_channels(ranks);
  std::vector<std::vector<std::string>> said(static_cast<std::size_t>(ranks));
  run_ranks(ranks, [&](Communicator& communicator) {
    const auto rank = static_cast<std::size_t>(communicator.rank());
    WatchedRank watched(communicator, std::move(channels[rank]), deadline);
    watched.monitor.stage("head");
    watched.monitor.step(12);
    watched.monitor.phase(RankPhase::kCompute);
    communicator.barrier();
    body(communicator, watched);
    communicator.barrier();  // nobody leaves while another still looks
    said[rank] = watched.said();
  });
  return said;
}

/// As a training thread does: waits in a sum that does not end.
void wait_in_a_sum(WatchedRank& watched, double seconds) {
  watched.monitor.phase(RankPhase::kReduction);
  watched.monitor.bucket(2);
  const StepMonitor::Collective sum(watched.monitor, CollectiveKind::kSum, 4096);
  EXPECT_TRUE(watched.ends_within(seconds));
}

TEST(Watchdog, SaysNothingWhileAllIsWell) {
  for (const int ranks : {2, 3, 6}) {
    const auto steps = [](Communicator& communicator, WatchedRank& watched) {
      for (int step = 1; step < 20; ++step) {
        watched.monitor.step(step);
        sleep_for(0.005);
        watched.monitor.phase(RankPhase::kReduction);
        communicator.barrier();
      }
      watched.finish();
      EXPECT_FALSE(watched.ended);
    };
    EXPECT_THAT(run_watched(ranks, steps, kLongDeadline), Each(IsEmpty()));
  }
}

TEST(Watchdog, NamesASilentRankOnAllOthers) {
  for (const int ranks : {2, 3}) {
    for (const int silent : {0, 1}) {
      const auto said = run_watched(ranks, [&](Communicator& communicator, WatchedRank& watched) {
        if (communicator.rank() != silent) return wait_in_a_sum(watched, 20 * kDeadline);
        // A stopped process neither hears nor judges; so this thread has to stay away from both.
        sleep_for(0.2);  // until all have heard where it is
        watched.cut = true;
        watched.ends_within(20 * kDeadline);
      });
      for (int rank = 0; rank < ranks; ++rank) {
        if (rank == silent) continue;
        EXPECT_THAT(said[static_cast<std::size_t>(rank)],
                    testing::Contains(
                        AllOf(HasSubstr("rank " + std::to_string(silent) + " (host "),
                              HasSubstr("has not answered"), HasSubstr("step 12 of stage \"head\""),
                              HasSubstr("forward and backward"), HasSubstr("bucket 2"))));
      }
    }
  }
}

TEST(Watchdog, NamesARankThatLoops) {
  const auto said = run_watched(3, [](Communicator& communicator, WatchedRank& watched) {
    if (communicator.rank() != 1) return wait_in_a_sum(watched, 20 * kDeadline);
    sleep_for(1.5 * kDeadline);  // its watchdog lives
  });
  for (const std::size_t rank : {0U, 2U}) {
    EXPECT_THAT(said[rank], testing::Contains(AllOf(HasSubstr("reports that rank 1 (host "),
                                                    HasSubstr("has not moved"))));
  }
}

TEST(Watchdog, NamesARankThatSkippedACollective) {
  const auto said = run_watched(3, [](Communicator& communicator, WatchedRank& watched) {
    watched.monitor.phase(RankPhase::kReduction);
    if (communicator.rank() == 2) watched.monitor.phase(RankPhase::kUpdate);
    wait_in_a_sum(watched, 20 * kDeadline);
  });
  for (const std::size_t rank : {0U, 1U}) {
    EXPECT_THAT(said[rank], testing::Contains(AllOf(HasSubstr("reports that rank 2 (host "),
                                                    HasSubstr("a collective was skipped"))));
  }
}

TEST(Watchdog, ReportsAStragglerOnceAndGoesOn) {
  constexpr double kPatient = 4;
  const auto held_up = [](Communicator& communicator, WatchedRank& watched) {
    if (communicator.rank() == 1) {
      watched.cut = true;
      sleep_for(kPatient / 2);
      watched.cut = false;
    } else {
      watched.monitor.phase(RankPhase::kReduction);
    }
    communicator.barrier();
    watched.finish();
    EXPECT_FALSE(watched.ended);
  };
  const auto said = run_watched(3, held_up, kPatient);
  EXPECT_THAT(said[0], ElementsAre(AllOf(HasSubstr("straggler: rank 1 (host "),
                                         HasSubstr("has not answered"))));
  EXPECT_THAT(said[2], IsEmpty());
}

TEST(Watchdog, ALongEvaluationIsNoHang) {
  const auto said = run_watched(2, [](Communicator& communicator, WatchedRank& watched) {
    if (communicator.rank() == 0) {
      watched.monitor.phase(RankPhase::kEvaluation);
      sleep_for(3 * kDeadline);
    } else {
      watched.monitor.phase(RankPhase::kEvaluation);
    }
    watched.finish();
    EXPECT_FALSE(watched.ended);
  });
  EXPECT_THAT(said[1], SizeIs(1)) << "a word on the straggler";
}

TEST(Watchdog, WhoEndsWithAnErrorOfItsOwnIsNotAccused) {
  const auto said = run_watched(2, [](Communicator& communicator, WatchedRank& watched) {
    if (communicator.rank() == 1) {
      watched.leave();
      sleep_for(2 * kDeadline);
    } else {
      watched.monitor.phase(RankPhase::kReduction);
      EXPECT_FALSE(watched.ends_within(2 * kDeadline));
    }
  });
  EXPECT_THAT(said, Each(IsEmpty()));
}

}  // namespace
}  // namespace thaw
