#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <vector>

#include "dist/communicator/in_process/in_process.h"

namespace thaw {

/// What each rank's `body` throws, which must be an agreed error of this type; all ranks stay with
/// each other.
template <typename Expected>
std::vector<std::string> agreed_errors(int ranks, const std::function<void(Communicator&)>& body) {
  std::vector<std::string> messages(static_cast<std::size_t>(ranks));
  run_ranks(ranks, [&](Communicator& communicator) {
    std::string& message = messages[static_cast<std::size_t>(communicator.rank())];
    try {
      body(communicator);
      message = "no error";
    } catch (const Expected& error) {
      message = error.what();
      EXPECT_TRUE(error.agreed());
    }
    communicator.barrier();
  });
  return messages;
}

}  // namespace thaw
