#include <ATen/ops/full.h>
#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <exception>
#include <functional>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "core/base/error.h"
#include "core/base/stopwatch.h"
#include "dist/reduction/sending/bucket_sender.h"

namespace thaw {

namespace {

// Note [A helper that never spins]
// A blocking MPI_Allreduce spins until the last rank has come, on a core that backward could use.
// A nonblocking one makes no progress on its own, and its algorithms are slower and add in another
// order. So each slab is preceded by a sum of one number that is started, then tested between
// short sleeps: a rank that waits for a slower one costs it next to nothing. When that sum is
// there all ranks have the slab ready, and the blocking call that follows only works. It is the
// call that would be made without a helper, so overlap changes no bits. The number is the slab's
// place in the sequence: ranks that are not at the same slab notice before they add up apples and
// pears.
// While the owner waits in `drain` there is nothing to spare, so the helper yields but does not
// sleep.

// Note [Who made it lets it go]
// Handing over makes small objects: views of slabs, a node of the queue. glibc keeps what a thread
// frees of that size for that thread's next (its cache of some 7 a size), wherever it came from.
// Were they freed by the helper, some of them would stay taken in the midst of what a backward
// frees, at places that follow from how far the helper was when they were made: other places in
// each run. What the next step allocates in one piece may not fit there any longer, and then adds
// to the peak. So the helper lets go of nothing that it was given: the owner does, when it next
// comes by, in which its memory is as in a step without a helper.

/// Keeps what was started and can be neither cancelled nor waited for: its memory is still used.
void abandon(std::unique_ptr<Work> sum) {
  static std::mutex mutex;
  static auto* const abandoned = new std::vector<std::unique_ptr<Work>>();
  const std::lock_guard lock(mutex);
  abandoned->push_back(std::move(sum));
}

class HelperSender final : public BucketSender {
 public:
  HelperSender(Communicator& communicator, std::shared_ptr<GradientHook> hook)
      : communicator_(communicator), hook_(std::move(hook)), thread_([this] { work(); }) {}

  // An error may have left slabs that other ranks will never send: they are dropped, not waited
  // for.
  ~HelperSender() override {
    stopping_ = true;
    {
      const std::lock_guard lock(mutex_);
      changed_.notify_all();
    }
    thread_.join();
  }

  HelperSender(const HelperSender&) = delete;
  HelperSender& operator=(const HelperSender&) = delete;

  void send(BucketLoad load) override { hand_over({std::move(load), nullptr, {}}); }
  void send_rows(RowReduction& rows, const at::Tensor& gradient) override {
    hand_over({{gradient}, &rows, {}});
  }
  std::int64_t call(std::function<void(Communicator&)> collective) override {
    return hand_over({{}, nullptr, std::move(collective)});
  }

  void wait_for(std::int64_t number) override {
    wait_until([&] { return done_ >= number; });
  }
  void ease(std::int64_t most, std::chrono::milliseconds limit) override {
    draining_ = true;
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, limit, [&] { return failure_ || handed_over_ - done_ <= most; });
    draining_ = false;
    let_go_of_done();
    if (failure_) std::rethrow_exception(failure_);
  }
  void drain() override {
    wait_until([&] { return done_ == handed_over_; });
  }

  double busy_seconds() const override {
    const std::lock_guard lock(mutex_);
    return busy_seconds_;
  }
  std::int64_t row_bytes() const override {
    const std::lock_guard lock(mutex_);
    return row_bytes_;
  }

 private:
  struct Load {
    BucketLoad bucket;
    RowReduction* rows;                             ///< null: all of it travels
    std::function<void(Communicator&)> collective;  ///< not empty: this, and no bucket
  };

  /// Returns its number, from 1.
  std::int64_t hand_over(Load load) {
    const std::lock_guard lock(mutex_);
    if (failure_) std::rethrow_exception(failure_);
    let_go_of_done();
    loads_.push_back(std::move(load));
    changed_.notify_all();
    return ++handed_over_;
  }

  /// By the owner, under the lock: see Note [Who made it lets it go].
  void let_go_of_done() {
    for (; loads_done_ > 0; --loads_done_) loads_.pop_front();
  }

  /// `is_there` is asked under the lock.
  template <class Condition>
  void wait_until(const Condition& is_there) {
    draining_ = true;
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return failure_ || is_there(); });
    draining_ = false;
    let_go_of_done();
    if (failure_) std::rethrow_exception(failure_);
  }

  void work() {
    std::unique_lock lock(mutex_);
    while (true) {
      changed_.wait(lock, [&] { return stopping_ || loads_done_ < loads_.size(); });
      if (stopping_) return;
      Load& load = loads_[loads_done_];  // stays where it is, whatever comes before and behind it
      lock.unlock();
      double seconds = 0;
      std::int64_t row_bytes = 0;
      std::exception_ptr failure;
      try {
        if (all_are_ready()) {
          const Stopwatch watch;
          row_bytes = sum(load);
          seconds = watch.seconds();
        }
      } catch (...) {
        failure = std::current_exception();
      }
      lock.lock();
      busy_seconds_ += seconds;
      row_bytes_ += row_bytes;
      if (failure) failure_ = failure;
      ++loads_done_;
      ++done_;
      changed_.notify_all();
      if (failure) return;
    }
  }

  /// Waits for the other ranks; false where the sender is to stop instead.
  bool all_are_ready() {
    const at::Tensor place = at::full({1}, static_cast<double>(++sequence_), at::kDouble);
    std::unique_ptr<Work> arrival = communicator_.start_all_reduce(place);
    for (auto pause = kShortestPause; !arrival->poll();) {
      if (stopping_) {
        abandon(std::move(arrival));
        return false;
      }
      if (draining_) {
        std::this_thread::yield();
      } else {
        std::this_thread::sleep_for(pause);
        pause = std::min(pause * 2, kLongestPause);
      }
    }
    const double expected = static_cast<double>(sequence_) * communicator_.size();
    if (place.item<double>() != expected) {
      throw DisagreementError(
          fmt::format("ranks are not at the same gradient bucket: this one is at number {} of its "
                      "stage, all together at {} instead of {}",
                      sequence_, place.item<double>(), expected));
    }
    return true;
  }

  /// Returns the bytes that travelled by rows.
  std::int64_t sum(Load& load) {
    if (load.collective) {
      load.collective(communicator_);
      return 0;
    }
    if (load.rows != nullptr) return load.rows->sum(load.bucket.slab, communicator_);
    sum_load(load.bucket, hook_.get(), communicator_);
    return 0;
  }

  static constexpr std::chrono::microseconds kShortestPause{20};
  static constexpr std::chrono::microseconds kLongestPause{320};

  Communicator& communicator_;
  std::shared_ptr<GradientHook> hook_;
  std::int64_t sequence_ = 0;  ///< of the helper alone
  std::atomic<bool> stopping_ = false;
  std::atomic<bool> draining_ = false;

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Load> loads_;      ///< of the owner, which adds them and takes them out
  std::size_t loads_done_ = 0;  ///< so many at the front
  std::int64_t handed_over_ = 0, done_ = 0;
  double busy_seconds_ = 0;
  std::int64_t row_bytes_ = 0;
  std::exception_ptr failure_;
  std::thread thread_;  ///< last: starts when all else is there
};

}  // namespace

std::unique_ptr<BucketSender> make_helper_sender(Communicator& communicator,
                                                 std::shared_ptr<GradientHook> hook) {
  return std::make_unique<HelperSender>(communicator, std::move(hook));
}

}  // namespace thaw
