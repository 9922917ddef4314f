#include <ATen/ops/ones.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <thread>

#include "core/base/error.h"
#include "core/base/stopwatch.h"
#include "core/base/system.h"
#include "core/parallel/one_rank.h"
#include "dist/communicator/in_process/in_process.h"
#include "dist/communicator/nccl/nccl_communicator.h"
#include "tests/dist/communicator/fake_gpu.h"

namespace thaw {
namespace {

using namespace std::chrono_literals;
using fake::eventually;
using fake::World;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr NcclOptions kQuick{.deadline = 10s, .interval = 1ms};
constexpr NcclOptions kImpatient{.deadline = 40ms, .interval = 1ms};

/// The message of the Error of type `Expected` that `body` throws.
template <typename Expected>
std::string message_of(const std::function<void()>& body) {
  try {
    body();
  } catch (const Expected& error) {
    return error.what();
  }
  ADD_FAILURE() << "no such error";
  return {};
}

/// One rank with its communicator, whose sums do not run.
struct StuckRank {
  explicit StuckRank(const NcclOptions& options = kQuick)
      : communicator(make_nccl_communicator(*host, fake::parts(world, 0), options)) {
    world.change([&] { world.held = true; });
  }
  ~StuckRank() {
    communicator.reset();
    EXPECT_THAT(world.complaints(), IsEmpty());
  }

  World world{1};
  std::unique_ptr<Communicator> host = make_self_communicator();
  std::unique_ptr<Communicator> communicator;
};

/// All ranks get this agreed error when they make their communicators.
template <typename Expected>
void expect_joining_fails(World& world, int ranks, const NcclOptions& options,
                          const std::vector<std::string>& texts) {
  std::atomic<int> agreed = 0;
  run_ranks(ranks, [&](Communicator& host) {
    try {
      make_nccl_communicator(host, fake::parts(world, host.rank()), options);
      ADD_FAILURE() << "no error";
    } catch (const Expected& error) {
      for (const std::string& text : texts) EXPECT_THAT(error.what(), HasSubstr(text));
      agreed += error.agreed() ? 1 : 0;
    }
    host.barrier();  // and all are still with each other
  });
  EXPECT_EQ(agreed, ranks);
  for (int rank = 0; rank < ranks; ++rank) {
    EXPECT_EQ(world.count(rank, "abort"), 1) << "rank " << rank;
    EXPECT_EQ(world.count(rank, "finalize"), 0);
  }
  EXPECT_THAT(world.complaints(), IsEmpty());
}

// The other ranks would wait for the one that failed until their deadline of 10 s.
TEST(NcclFailure, OfJoiningOnOneRankIsToldToAll) {
  World world(3);
  world.script(0).init_polls = world.script(2).init_polls = -1;
  world.script(1).init_call = NcclStatus::kSystemError;
  world.script(1).words = "no network interface";
  const Stopwatch watch;
  expect_joining_fails<RunError>(
      world, 3, kQuick,
      {"on rank 1 (host " + host_name() + ")", "a system call failed: no network interface"});
  EXPECT_LT(watch.seconds(), 5);
}

TEST(NcclFailure, OfJoiningMayComeLater) {
  World world(2);
  world.script(0).init_polls = -1;
  world.script(1).init_polls = 5;
  world.script(1).init_state = NcclStatus::kCudaError;
  expect_joining_fails<RunError>(world, 2, kQuick, {"on rank 1", "a CUDA call failed"});
}

TEST(NcclFailure, OfTwoRanksOnOneGpuSaysWhatToDo) {
  World world(2);
  for (const int rank : {0, 1}) {
    world.script(rank).init_state = NcclStatus::kInvalidUsage;
    world.script(rank).words = "Duplicate GPU detected : rank 0 and rank 1 both on CUDA device 0";
  }
  expect_joining_fails<InputError>(world, 2, kQuick,
                                   {"Duplicate GPU", "NCCL_MULTI_RANK_GPU_ENABLE=1"});
}

TEST(NcclFailure, OfARankThatDoesNotJoinInTime) {
  World world(2);
  world.script(0).init_polls = -1;
  expect_joining_fails<DisagreementError>(world, 2, kImpatient,
                                          {"on rank 0", "did not end within 0.04 s"});
}

TEST(NcclFailure, OfASumIsThrownAndAbortsOnce) {
  StuckRank rank;
  const auto pending = rank.communicator->start_all_reduce(at::ones({5}));
  EXPECT_FALSE(pending->poll());
  rank.world.change([&] {
    rank.world.script(0).error = NcclStatus::kRemoteError;
    rank.world.script(0).words = "connection closed by peer";
  });
  const std::string message = message_of<RunError>([&] { pending->wait(); });
  EXPECT_THAT(message,
              AllOf(HasSubstr("rank 0 (host " + host_name() + ", cuda:0)"),
                    HasSubstr("sum 1 (float32 [5] on cpu)"), HasSubstr("another rank's process"),
                    HasSubstr("connection closed by peer")));
  EXPECT_TRUE(eventually([&] { return rank.world.count(0, "abort") == 1; }));

  // It stays broken, and NCCL is left alone.
  const auto calls = rank.world.log(0).size();
  at::Tensor tensor = at::ones({5});
  EXPECT_THROW(rank.communicator->all_reduce(tensor), RunError);
  EXPECT_THROW(rank.communicator->broadcast(tensor, 0), RunError);
  EXPECT_THROW(rank.communicator->barrier(), RunError);
  EXPECT_THROW(rank.communicator->split(0), RunError);
  EXPECT_THROW(pending->poll(), RunError);
  EXPECT_THROW(pending->wait_on_stream(), RunError);
  EXPECT_EQ(rank.world.log(0).size(), calls);
}

// The host waits for the GPU in a call that knows nothing of NCCL; the abort ends that wait.
TEST(NcclFailure, IsFoundWhileNobodyAsks) {
  StuckRank rank;
  rank.communicator->start_all_reduce(at::ones({5}))->wait_on_stream();
  rank.world.change([&] { rank.world.script(0).error = NcclStatus::kRemoteError; });
  EXPECT_TRUE(eventually([&] { return rank.world.count(0, "abort") == 1; }));
  std::vector<double> loss = {1.0};
  EXPECT_THROW(rank.communicator->all_reduce(loss), RunError);
}

TEST(NcclFailure, OfASumThatTakesTooLong) {
  StuckRank rank(kImpatient);
  at::Tensor tensor = at::ones({5}, at::kDouble);
  const std::string message =
      message_of<DisagreementError>([&] { rank.communicator->all_reduce(tensor); });
  EXPECT_THAT(message, AllOf(HasSubstr("rank 0"), HasSubstr("sum 1 (float64 [5] on cpu)"),
                             HasSubstr("within 0.04 s"), HasSubstr("does not take part")));
  EXPECT_TRUE(eventually([&] { return rank.world.count(0, "abort") == 1; }));
}

// A sum that is recorded may take as long as it likes; the graph may not.
TEST(NcclFailure, OfAGraphWhoseSumsTakeTooLong) {
  StuckRank rank(kImpatient);
  const auto part = rank.communicator->split(0);
  {
    const fake::Recording recording;
    part->start_all_reduce(at::ones({5}))->wait_on_stream();
  }
  std::this_thread::sleep_for(100ms);
  part->barrier();
  // On any communicator of the family.
  rank.communicator->recorded_work_queued();
  EXPECT_TRUE(eventually([&] { return rank.world.count(0, "abort") == 2; }));
  EXPECT_THAT(message_of<DisagreementError>([&] { part->barrier(); }),
              AllOf(HasSubstr("a sum in a CUDA graph"), HasSubstr("within 0.04 s")));
}

TEST(NcclFailure, OfACallThatStaysInProgress) {
  StuckRank rank(kImpatient);
  rank.world.change([&] { rank.world.script(0).call_polls = -1; });
  EXPECT_THROW(rank.communicator->start_all_reduce(at::ones({5})), DisagreementError);
  EXPECT_EQ(rank.world.count(0, "abort"), 1);
}

TEST(NcclFailure, OfTheCallItself) {
  StuckRank rank;
  rank.world.change([&] { rank.world.script(0).call = NcclStatus::kInternalError; });
  const std::string message =
      message_of<RunError>([&] { rank.communicator->start_all_reduce(at::ones({5})); });
  EXPECT_THAT(message, AllOf(HasSubstr("sum 1"), HasSubstr("internal error")));
  EXPECT_EQ(rank.world.count(0, "abort"), 1);
}

// Each of two sums takes less than the deadline; together they take more.
TEST(NcclFailure, CountsTimeFromWhenTheGpuCouldBegin) {
  StuckRank rank({.deadline = 2s, .interval = 1ms});
  const auto first = rank.communicator->start_all_reduce(at::ones({5}));
  const auto second = rank.communicator->start_all_reduce(at::ones({5}));
  std::this_thread::sleep_for(1100ms);
  rank.world.change([&] { rank.world.run_anyway = 1; });
  first->wait();
  std::this_thread::sleep_for(1100ms);
  EXPECT_FALSE(second->poll());
  rank.world.change([&] { rank.world.held = false; });
  second->wait();
  EXPECT_EQ(rank.world.count(0, "abort"), 0);
}

// Both have a kernel on the GPU, and the abort of either would wait for the other's.
TEST(NcclFailure, OfOnePartIsThatOfAll) {
  StuckRank rank(kImpatient);
  rank.world.change([&] { rank.world.held = false; });
  const auto part = rank.communicator->split(0);
  at::Tensor tensor = at::ones({5});
  part->all_reduce(tensor);
  rank.world.change([&] { rank.world.held = true; });
  const auto stuck = rank.communicator->start_all_reduce(at::ones({5}));
  EXPECT_THROW(part->all_reduce(tensor), DisagreementError);
  EXPECT_TRUE(eventually([&] { return rank.world.count(0, "abort") == 2; }));
  EXPECT_THROW(rank.communicator->barrier(), DisagreementError);
}

TEST(NcclFailure, OfSomethingElseAbortsAllTogether) {
  World world(1);
  const auto host = make_self_communicator();
  EXPECT_THROW(
      {
        const auto root = make_nccl_communicator(*host, fake::parts(world, 0), kQuick);
        const auto part = root->split(0);
        at::Tensor tensor = at::ones({5});
        part->all_reduce(tensor);
        world.change([&] { world.held = true; });
        const auto first = root->start_all_reduce(at::ones({5}));
        const auto second = part->start_all_reduce(at::ones({5}));
        throw RunError("planted");
      },
      RunError);
  EXPECT_EQ(world.count(0, "abort"), 2);
  EXPECT_EQ(world.count(0, "finalize"), 0);
  EXPECT_THAT(world.complaints(), IsEmpty());
}

// A call takes long inside NCCL while an earlier sum is past its deadline: the abort waits for it.
TEST(NcclFailure, AbortsWithNoThreadInsideNccl) {
  StuckRank rank(kImpatient);
  const auto first = rank.communicator->start_all_reduce(at::ones({5}));
  rank.world.change([&] { rank.world.script(0).inside = 2s; });
  std::thread looks_on([&] {
    EXPECT_TRUE(eventually([&] { return rank.world.count(0, "sum") == 2; }));
    std::this_thread::sleep_for(100ms);  // past the first one's deadline
    EXPECT_EQ(rank.world.count(0, "abort"), 0);
  });
  try {
    rank.communicator->start_all_reduce(at::ones({5}))->wait();
    ADD_FAILURE() << "no error";
  } catch (const DisagreementError& error) {
    EXPECT_THAT(error.what(), HasSubstr("sum "));
  }
  looks_on.join();
  EXPECT_TRUE(eventually([&] { return rank.world.count(0, "abort") == 1; }));
}

// A call that never returns, as one that waits for a peer to connect: what it waits for looks at
// the flag that an abort raises.
TEST(NcclFailure, AbortsBesideACallThatDoesNotReturn) {
  World world(1);
  const std::unique_ptr<Communicator> host = make_self_communicator();
  auto communicator = make_nccl_communicator(*host, fake::parts(world, 0),
                                             {.deadline = 20ms, .patience = 20ms, .interval = 1ms});
  world.change([&] { world.script(0).inside = 2s; });
  std::atomic<bool> returned = false;
  std::thread looks_on([&] {
    EXPECT_TRUE(eventually([&] { return world.count(0, "abort") == 1; }));
    EXPECT_FALSE(returned);
  });
  EXPECT_THAT(message_of<DisagreementError>([&] { communicator->start_all_reduce(at::ones({5})); }),
              HasSubstr("did not end within 0.02 s"));
  returned = true;
  looks_on.join();
  communicator.reset();
  EXPECT_EQ(world.count(0, "abort"), 1);
  EXPECT_THAT(world.complaints(), testing::ElementsAre("abort beside another thread"));
}

// Ranks as threads: one does not take part, the others tell and none hangs.
TEST(NcclFailure, OfARankThatSkipsASum) {
  World world(3);
  std::atomic<int> told = 0;
  run_ranks(3, [&](Communicator& host) {
    const auto communicator =
        make_nccl_communicator(host, fake::parts(world, host.rank()), {.deadline = 500ms});
    at::Tensor tensor = at::ones({5});
    communicator->all_reduce(tensor);
    if (host.rank() != 2) {
      try {
        communicator->all_reduce(tensor);
      } catch (const DisagreementError&) {
        ++told;
      }
    }
    host.barrier();
  });
  EXPECT_EQ(told, 2);
  EXPECT_EQ(world.count(0, "abort"), 1);  // by the time that they have left their communicators
  EXPECT_EQ(world.count(1, "abort"), 1);
  EXPECT_THAT(world.complaints(), IsEmpty());
}

}  // namespace
}  // namespace thaw
