#pragma once

#include <string>

namespace thaw {

// Note [Standard streams may be gone]
// A training outlives the terminal, pipe or disk that its words go to, so no word of it may end it,
// nor enter a file of ours. Descriptors 0 to 2 are always open, so that no file gets their numbers.
// What stdout and stderr cannot write is dropped and counted instead of failing whoever prints
// (fmt::print throws); signals that a write would end the process with (SIGPIPE, SIGXFSZ) leave the
// write's error. Whoever's result is what was printed asks for `lost_output` at the end.

/// To be called first in main, before threads and files: makes the standard streams safe, and
/// SIGPIPE and SIGXFSZ errors of the write that caused them, here and not in programs started by
/// this one.
void start_process();

/// What could not be written to standard output since the last call, flushed before, in words:
/// "standard output: 812 bytes (No space left on device)"; "" where all got out.
std::string lost_output();
/// The same of standard error.
std::string lost_errors();

}  // namespace thaw
