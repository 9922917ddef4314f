#pragma once

#include <cstddef>
#include <string>

namespace thaw {

/// Whether what this process writes to standard error appears on a terminal that someone watches.
/// Under mpirun that is mpirun's own standard error, which this process's is piped to.
bool watched_on_terminal();

/// The same of standard error (`descriptor` 2) or output (1).
bool on_terminal(int descriptor);

/// Columns of the terminal that standard error (`descriptor` 2) or output (1) appears on, mpirun's
/// where this process's is piped to it; else what the variable COLUMNS says, else `otherwise`.
std::size_t screen_columns(int descriptor, std::size_t otherwise);

/// Whether a terminal is to be written to in colours: it is no "dumb" one, and NO_COLOR is unset or
/// empty (no-color.org).
bool colours_wanted();

}  // namespace thaw
