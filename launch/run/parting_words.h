#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "core/record/observer.h"

namespace thaw {

/// What rank 0 says at once when mpirun ends the job by SIGTERM, as on Ctrl-C: which checkpoint is
/// safe, and how to stop without any loss. The ranks have a second then, too little to save.
///
/// Said while one lives, where `hear_of_the_end` was called; at most one lives at a time. A
/// TerminationSignal that comes later hands the signal on.
class PartingWords final : public TrainingObserver {
 public:
  /// `ranks` of the job, for the advice.
  PartingWords(std::filesystem::path run_folder, int ranks);
  ~PartingWords() override;
  PartingWords(const PartingWords&) = delete;
  PartingWords& operator=(const PartingWords&) = delete;

  bool step_reads_weights() const override { return false; }
  void checkpoint(const CheckpointReport& report) override;
  void resume(const ResumeReport& report) override;

 private:
  void safe(std::int64_t step);
  void say(const std::string& what);

  std::filesystem::path run_folder_;
  int ranks_;
};

/// Sets the handler of SIGTERM that says them. For mpirun's ranks, before MPI.
void hear_of_the_end();

}  // namespace thaw
