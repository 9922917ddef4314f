#pragma once

#include <algorithm>
#include <string>
#include <vector>

#include "core/parallel/communicator.h"

namespace thaw {

/// Gives every rank rank 0's numbers in the place of its own, of which there may be more or fewer.
/// A collective.
template <class Number>
void broadcast_numbers(Communicator& communicator, std::vector<Number>& numbers) {
  if (communicator.size() == 1) return;
  const std::string told = communicator.broadcast(
      std::string(reinterpret_cast<const char*>(numbers.data()), numbers.size() * sizeof(Number)),
      /*root=*/0);
  numbers.resize(told.size() / sizeof(Number));
  std::copy_n(told.data(), numbers.size() * sizeof(Number),
              reinterpret_cast<char*>(numbers.data()));
}

}  // namespace thaw
