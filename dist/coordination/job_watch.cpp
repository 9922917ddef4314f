#include "dist/coordination/job_watch.h"

#include "dist/communicator/message_channel.h"
#include "dist/communicator/watched_communicator.h"
#include "dist/coordination/job_end.h"
#include "dist/coordination/watchdog.h"

namespace thaw {

JobWatch::JobWatch(Communicator& world)
    : world_(world), communicator_(make_watched_communicator(world, monitor_)) {}

JobWatch::~JobWatch() = default;

void JobWatch::start(const Deadlines& deadlines, bool takes_sigterm) {
  if (world_.size() == 1 || (deadlines.hang == 0 && deadlines.transition == 0)) {
    return;
  }
  if (takes_sigterm) termination_ = std::make_unique<TerminationSignal>();
  watchdog_ = std::make_unique<Watchdog>(
      *communicator_, make_mpi_message_channel(), monitor_,
      WatchdogOptions{.deadlines = deadlines,
                      .report = print_now,
                      .end_job = [] { end_mpi_job(ExitStatus::kDisagreement); },
                      .termination = termination_.get()});
}

void JobWatch::finish() {
  if (watchdog_) {
    watchdog_->finish();
    watchdog_.reset();
    termination_.reset();
  }
}

}  // namespace thaw
