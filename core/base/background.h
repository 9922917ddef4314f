#pragma once

namespace thaw {

/// Lets all other threads of this machine go first: for work that nobody waits for yet.
void lower_priority_of_this_thread();

}  // namespace thaw
