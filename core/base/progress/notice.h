#pragma once

#include <string_view>

namespace thaw {

// Note [The line that moves]
// On a terminal, training is shown as one line of standard error that is written over again and
// again. Whatever else is said meanwhile must not stand behind it. So everything that may be said
// while training runs goes through `say`, which takes the line away first; the next step shows it
// again. Standard output is taken care of by who prints there (launch/terminal/progress.cpp).

/// Prints a message for people on standard error, on lines of its own; `text` ends with a newline.
/// Any thread.
void say(std::string_view text);

/// Shows `text`, of one line, in place of what was shown before. Any thread.
void show_moving_line(std::string_view text);
/// Takes it away; returns whether there was one.
bool clear_moving_line();

}  // namespace thaw
