// A watched job of ten steps that goes wrong in the fifth, in the way that its first argument
// names, for watched_job_test.cpp. The second argument is the deadline in seconds.

#include <chrono>
#include <cstdlib>
#include <string>
#include <thread>
#include <vector>

#include "dist/communicator/message_channel.h"
#include "dist/communicator/mpi/mpi_session.h"
#include "dist/communicator/watched_communicator.h"
#include "dist/coordination/job_end.h"
#include "dist/coordination/watchdog.h"

namespace thaw {
namespace {

void sleep_for(double seconds) {
  std::this_thread::sleep_for(std::chrono::duration<double>(seconds));
}

void go_wrong(const std::string& way, double deadline, int rank, StepMonitor& monitor) {
  if (way == "save" && rank == 0) {
    monitor.phase(RankPhase::kSaving);
    sleep_for(2.5 * deadline);
    monitor.phase(RankPhase::kUpdate);
  } else if (way == "save") {
    monitor.phase(RankPhase::kSaving);
    monitor.phase(RankPhase::kUpdate);
  }
  if (rank != 1) return;
  if (way == "loop") {
    for (volatile bool endless = true; endless;) {
    }
  }
  if (way == "crash") {
    sleep_for(0.6);  // until the others have heard where it is
    std::_Exit(9);
  }
  if (way == "alone") throw RunError("planted: disk full");
}

ExitStatus train(const std::string& way, double deadline, Communicator& world) {
  StepMonitor monitor;
  const auto watched = make_watched_communicator(world, monitor);
  const auto gradients = watched->split(0);
  const TerminationSignal termination;
  Watchdog watchdog(*watched, make_mpi_message_channel(), monitor,
                    {.deadlines = {.hang = deadline, .transition = deadline},
                     .report = print_now,
                     .end_job = [] { end_mpi_job(ExitStatus::kDisagreement); },
                     .termination = &termination});
  monitor.stage("head");
  std::vector<double> gradient(1000), loss(1);
  for (int step = 1; step <= 10; ++step) {
    monitor.step(step);
    monitor.phase(RankPhase::kCompute);
    sleep_for(0.005);
    if (step == 5) go_wrong(way, deadline, world.rank(), monitor);
    monitor.phase(RankPhase::kReduction);
    if (!(way == "skip" && step == 5 && world.rank() == 1)) gradients->all_reduce(gradient);
    monitor.phase(RankPhase::kUpdate);
    watched->all_reduce(loss);
  }
  watchdog.finish();
  return ExitStatus::kDone;
}

}  // namespace
}  // namespace thaw

int main(int count, char** arguments) {
  if (count != 3) return 2;
  return thaw::MpiSession::run([&](thaw::Communicator& world) {
    return thaw::train(arguments[1], std::atof(arguments[2]), world);
  });
}
