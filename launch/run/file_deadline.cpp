#include "launch/run/file_deadline.h"

#include <fmt/format.h>

#include <cstdlib>
#include <string>

#include "core/base/error.h"
#include "core/base/system.h"
#include "core/config/configuration.h"
#include "core/parallel/communicator.h"
#include "dist/coordination/job_end.h"

namespace thaw {
namespace {

/// From whatever thread.
[[noreturn]] void end_over_file(const Communicator& world, const std::string& what) {
  const bool alone = world.size() == 1;
  print_now(alone ? what : fmt::format("rank {} (host {}): {}", world.rank(), host_name(), what));
  if (alone) std::_Exit(static_cast<int>(ExitStatus::kFailed));
  end_mpi_job(ExitStatus::kDisagreement);
}

}  // namespace

FileDeadline::FileDeadline(const Communicator& world) : world_(world), seconds_(0) {
  set(DistributedOptions().hang_deadline);
}

void FileDeadline::set(double seconds) {
  if (seconds == seconds_ && watch_) return;
  seconds_ = seconds;
  watch_.emplace(seconds,
                 [&world = world_](const std::string& what) { end_over_file(world, what); });
}

std::function<void(const Configuration&)> FileDeadline::by_configuration() {
  return [this](const Configuration& known) { set(known.distributed.hang_deadline); };
}

}  // namespace thaw
