#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace thaw {

/// What `thaw launch` was asked for.
struct LaunchRequest {
  int ranks = 0;
  int restarts = 0;
  std::vector<std::string> mpirun_options;  ///< handed on as they are
  std::vector<std::string> subcommand;      ///< what stands behind "--": "train", CONFIG, ...
  bool help = false;
};

/// Pure. Throws InputError that says what is missing.
LaunchRequest parse_launch(const std::vector<std::string>& arguments);

/// How `launch`, `compare`, `scale` and `check --predict` start ranks: "mpirun -n RANKS", or what
/// THAW_MPIEXEC names in mpirun's place. Options and what the ranks are come behind.
std::vector<std::string> mpirun_command(std::int64_t ranks);

/// What one life of the job came to.
struct JobLife {
  int status = 0;                ///< as a shell would say it: 128 + the signal that ended mpirun
  std::int64_t saved_step = -1;  ///< of the newest checkpoint at its end; -1: none
};

/// The status of a job as this command ends with it, from mpirun's. Pure.
///
/// In their first moments, before they have asked to be told, mpirun and the ranks die of the
/// signal that is to let them save. There is nothing to save then, so that job has stopped as
/// asked.
int status_of_job(int status, bool asked_to_stop);

/// Whether a job that ended so is started again. Pure.
///
/// Not where it is done, was asked to stop, or could not even begin; not after `restarts` of them;
/// and not where two restarts in a row have brought no newer checkpoint: what fails is then no
/// accident.
bool start_again(const std::vector<JobLife>& lives, int restarts, bool asked_to_stop);

/// Seconds to wait before the next life: 1, 2, 4, ... up to 60, from the lives without progress.
/// Pure.
double back_off_seconds(const std::vector<JobLife>& lives);

}  // namespace thaw
