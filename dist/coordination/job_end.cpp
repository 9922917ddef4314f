#include "dist/coordination/job_end.h"

#include <mpi.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <thread>

namespace thaw {

namespace {

constexpr std::chrono::seconds kPatience{5};

}  // namespace

// Not through stdio: the training thread may hang within it, holding its lock.
void print_now(const std::string& text) {
  const std::string line = "thaw: " + text + "\n";
  for (std::size_t done = 0; done < line.size();) {
    const ssize_t written = write(STDERR_FILENO, line.data() + done, line.size() - done);
    if (written <= 0) return;  // nobody is left to be told
    done += static_cast<std::size_t>(written);
  }
}

// See Note [How a rank ends] in dist/communicator/mpi/mpi_session.cpp. OpenMPI's launcher continues
// stopped ranks before it kills them, so a SIGSTOPped one does not outlive the job.
void end_mpi_job(ExitStatus status) {
  const int code = static_cast<int>(status);
  std::thread([code] {
    std::this_thread::sleep_for(kPatience);
    std::_Exit(code);
  }).detach();
  std::fflush(nullptr);  // may wait for the training thread
  MPI_Abort(MPI_COMM_WORLD, code);
  std::_Exit(code);
}

}  // namespace thaw
