#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <thread>

#include "core/parallel/one_rank.h"
#include "dist/communicator/in_process/in_process.h"
#include "tests/dist/communicator/communicator_contract.h"

namespace thaw {
namespace {

using ::testing::HasSubstr;

TEST(SelfCommunicator, KeepsTheContract) {
  const auto communicator = make_self_communicator();
  EXPECT_EQ(communicator->size(), 1);
  contract::whole_contract(*communicator);
}

class InProcess : public ::testing::TestWithParam<int> {};

TEST_P(InProcess, KeepsTheContract) { run_ranks(GetParam(), contract::whole_contract); }

INSTANTIATE_TEST_SUITE_P(Ranks, InProcess, ::testing::Values(1, 2, 3, 4));

/// What `run_ranks` rethrows.
std::string failure_of_ranks(int ranks, const std::function<void(Communicator&)>& body) {
  try {
    run_ranks(ranks, body);
  } catch (const std::exception& error) {
    return error.what();
  }
  return "no error";
}

TEST(RunRanks, RethrowsTheFirstFailureAndFreesTheOthers) {
  std::atomic<int> freed = 0;
  const std::string message = failure_of_ranks(4, [&](Communicator& communicator) {
    if (communicator.rank() == 2) {
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
      throw InputError("planted");
    }
    try {
      communicator.barrier();
    } catch (const RunError& error) {
      EXPECT_THAT(error.what(), HasSubstr("rank 2 failed: planted"));
      ++freed;
      throw;
    }
  });
  EXPECT_EQ(message, "planted");
  EXPECT_EQ(freed, 3);
}

TEST(RunRanks, FreesWaitersInsideSplits) {
  const std::string message = failure_of_ranks(4, [](Communicator& communicator) {
    const auto pair = communicator.split(communicator.rank() / 2);
    if (communicator.rank() == 0) throw RunError("planted");
    pair->barrier();         // rank 1 waits for rank 0 here
    communicator.barrier();  // ranks 2 and 3 here
  });
  EXPECT_EQ(message, "planted");
}

TEST(RunRanks, NamesARankThatLeftEarly) {
  const std::string message = failure_of_ranks(3, [](Communicator& communicator) {
    if (communicator.rank() != 1) communicator.barrier();
  });
  EXPECT_THAT(message, HasSubstr("rank 1 has ended while rank"));
}

TEST(RunRanks, NamesDifferentCalls) {
  const std::string message = failure_of_ranks(2, [](Communicator& communicator) {
    at::Tensor tensor = at::full({3 + communicator.rank()}, 1.0, at::dtype(at::kFloat));
    communicator.all_reduce(tensor);
  });
  EXPECT_THAT(message, HasSubstr("rank 0: sum of float32 [3] on cpu"));
  EXPECT_THAT(message, HasSubstr("rank 1: sum of float32 [4] on cpu"));
}

TEST(RunRanks, FreesWhoWaitsForAMessageOfARankThatLeft) {
  at::Tensor tensor = at::full({3}, 1.0, at::dtype(at::kFloat));
  for (const bool sends : {false, true}) {
    const std::string message = failure_of_ranks(3, [&](Communicator& communicator) {
      if (communicator.rank() != 0) return;
      at::Tensor own = tensor.clone();
      if (sends) communicator.send(own, 2);
      communicator.receive(own, 2);
    });
    EXPECT_THAT(message, HasSubstr(sends ? "rank 2 has ended while rank 0 waits for it in send of"
                                         : "rank 2 has ended while rank 0 waits for it in receive "
                                           "of float32 [3] on cpu"));
  }
}

TEST(RunRanks, NamesMessagesOfDifferentSizes) {
  const std::string message = failure_of_ranks(2, [](Communicator& communicator) {
    at::Tensor tensor = at::full({3 + communicator.rank()}, 1.0, at::dtype(at::kFloat));
    if (communicator.rank() == 0) communicator.send(tensor, 1);
    if (communicator.rank() == 1) communicator.receive(tensor, 0);
  });
  EXPECT_THAT(message, HasSubstr("rank 0 sent float32 [3] on cpu"));
  EXPECT_THAT(message, HasSubstr("rank 1 is in receive of float32 [4] on cpu"));
}

TEST(RunRanks, SumsInTheOrderOfRanks) {
  run_ranks(3, [](Communicator& communicator) {
    // (1 + 1e-16) - 1 is 0 in this order only if the first addition rounds first.
    const double values[] = {1.0, 1e-16, -1.0};
    std::vector<double> one = {values[communicator.rank()]};
    communicator.all_reduce(one);
    EXPECT_EQ(one[0], 0.0);
  });
}

TEST(RunRanks, NeedsARank) {
  EXPECT_THROW(run_ranks(0, [](Communicator&) {}), InputError);
}

}  // namespace
}  // namespace thaw
