#pragma once

#include <signal.h>

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <exception>
#include <functional>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>

namespace thaw {

/// Makes items in advance on a thread of its own, at most `depth` of them waiting. With depth 0
/// there is no thread and `next` makes them.
///
/// `next` and `restart` belong to one thread. Destruction waits for the item being made and no
/// longer.
template <typename Item>
class ReadAhead {
 public:
  /// Returns the next item, or nothing at the end. Only ever called by one thread at a time.
  using Make = std::function<std::optional<Item>()>;

  ReadAhead(std::size_t depth, Make make) : depth_(depth), make_(std::move(make)) { start(); }
  ~ReadAhead() { stop(); }
  ReadAhead(const ReadAhead&) = delete;
  ReadAhead& operator=(const ReadAhead&) = delete;

  /// The next item, or nothing at the end, again and again. What `make` threw comes after all items
  /// made before, again and again.
  std::optional<Item> next() {
    if (depth_ == 0) return make_();
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return !items_.empty() || ended_; });
    if (items_.empty()) {
      if (error_) std::rethrow_exception(error_);
      return std::nullopt;
    }
    std::optional<Item> item = std::move(items_.front());
    items_.pop_front();
    lock.unlock();
    changed_.notify_all();
    return item;
  }

  /// Drops all items made in advance and goes on with those of `make`.
  void restart(Make make) {
    stop();
    make_ = std::move(make);
    items_.clear();
    error_ = nullptr;
    ended_ = false;
    stopping_ = false;
    start();
  }

 private:
  void start() {
    if (depth_ == 0) return;
    // Signals are for the threads that know what to do with them.
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    thread_ = std::thread([this] { work(); });
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
  }

  void stop() {
    if (!thread_.joinable()) return;
    {
      const std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    changed_.notify_all();
    thread_.join();
  }

  void work() {
    try {
      while (true) {
        {
          std::unique_lock lock(mutex_);
          changed_.wait(lock, [&] { return stopping_ || items_.size() < depth_; });
          if (stopping_) return;
        }
        std::optional<Item> item = make_();
        if (!item) break;
        const std::lock_guard lock(mutex_);
        items_.push_back(std::move(*item));
        changed_.notify_all();
      }
      end(nullptr);
    } catch (...) {
      end(std::current_exception());
    }
  }

  void end(std::exception_ptr error) {
    {
      const std::lock_guard lock(mutex_);
      ended_ = true;
      error_ = std::move(error);
    }
    changed_.notify_all();
  }

  const std::size_t depth_;
  Make make_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Item> items_;
  std::exception_ptr error_;
  bool ended_ = false;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace thaw
