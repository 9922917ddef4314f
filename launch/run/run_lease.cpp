#include "launch/run/run_lease.h"

#include <fmt/format.h>

#include <filesystem>
#include <sstream>

#include "core/base/error.h"
#include "core/parallel/agreement.h"
#include "core/parallel/step_monitor.h"
#include "launch/job/stop_signals.h"

namespace thaw {
namespace {

/// What `question` is on rank 0.
template <class Question>
bool on_rank_0(Communicator& communicator, const Question& question) {
  const std::string answer = communicator.rank() == 0 && question() ? "yes" : "no";
  return communicator.broadcast(answer, /*root=*/0) == "yes";
}

}  // namespace

bool RunLease::folder_is_there() const {
  return on_rank_0(communicator_, [&] {
    std::error_code ignored;
    return std::filesystem::is_directory(folder_.path(), ignored);
  });
}

bool RunLease::folder_holds_a_run() const {
  return on_rank_0(communicator_, [&] { return folder_.holds_a_run(); });
}

bool RunLease::folder_is_writable() const {
  return on_rank_0(communicator_, [&] {
    try {
      folder_.check_writable();
    } catch (const InputError&) {
      return false;
    }
    return true;
  });
}

void RunLease::take() {
  const auto waiting = [this] {
    monitor_.tick();
    if (StopSignals::came()) {
      throw Error(ExitStatus::kRequeue,
                  fmt::format("{}: stopped by a signal while its lease was watched; nothing has "
                              "begun",
                              folder_.path().string()));
    }
  };
  std::string text = agreed(communicator_, [&]() -> std::string {
    if (communicator_.rank() != 0) return "";
    folder_.check_writable();
    folder_.check_unplanted();
    folder_.create();
    lease_.emplace(folder_.path(), LeaseTiming{.waiting = waiting});
    folder_.remove_leftovers();
    return fmt::format("{} {}", lease_->claim().generation, lease_->claim().owner);
  });
  std::istringstream words(communicator_.broadcast(std::move(text), /*root=*/0));
  claim_.folder = folder_.path();
  words >> claim_.generation >> claim_.owner;
}

RunStart start_leased(RunLease& lease, const std::function<RunStart()>& start) {
  const bool was_there = lease.folder_is_there();
  if (was_there && !lease.folder_is_writable()) {
    // One that is not finished is refused, by `start` or else by `take`.
    RunStart looked_at = start();
    if (looked_at.finished) return looked_at;
  }
  if (was_there) lease.take();
  RunStart begun = start();
  if (was_there) return begun;
  lease.take();
  // Another job may have come and gone since the first look.
  return lease.folder_holds_a_run() ? start() : std::move(begun);
}

}  // namespace thaw
