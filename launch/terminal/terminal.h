#pragma once

namespace thaw {

/// Whether what this process writes to standard error appears on a terminal that someone watches.
/// Under mpirun that is mpirun's own standard error, which this process's is piped to.
bool watched_on_terminal();

}  // namespace thaw
