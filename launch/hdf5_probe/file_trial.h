#pragma once

#include <cstdint>
#include <string>

namespace thaw {

// Note [Files are read on trial]
// HDF5's library trusts its files: a damaged one can make it read past its buffers, loop for ever
// or allocate without bounds, and then the process that opened it is gone, with all ranks of its
// job and without a word. Nothing that Thaw could check beforehand prevents that, short of reading
// the format itself. So the command has each data file read by a process of its own first, which
// may crash. What Thaw will ask HDF5 for is asked there, under limits of time and memory; the
// verdict is an error with status 2 that names the file and the split.
//
// - A rank must not fork: MPI and the GPU's driver do not survive it, and threads may hold locks.
//   The command therefore starts a small program, thaw-hdf5-probe, without forking (Note [How
//   programs are started]); that one forks for each file. It knows neither MPI nor LibTorch and
//   costs some milliseconds.
// - It lies beside the command. Where it does not, the command says so and opens files untried.
// - One rank of each host has it run: the file may be another copy on another host.
// - A program of one's own that opens a Dataset has no trial: whether to start processes is not a
//   library's to decide. `thaw-hdf5-probe FILE...` can be run before, from a shell or the program.
// - Of chunked samples only a part is decoded on trial (core/data/hdf5/trial_reading.h). The rest
// of
//   the structure is read whole. Damage within samples that no filter notices is not looked for.

/// What a file may take while it is tried. What it justifies is more than enough for any whole one.
struct TrialLimits {
  int seconds = 60;                 ///< of computing; four times as long may pass in all
  std::int64_t memory = 256 << 20;  ///< bytes, besides 64 for each of the file's
};

/// Has a child of this process, which should be small and have one thread, read the file at `path`
/// as Thaw would. Returns "" where it can be read, else a message that names it and says what is
/// wrong.
std::string try_file(const std::string& path, const TrialLimits& limits = {});

}  // namespace thaw
