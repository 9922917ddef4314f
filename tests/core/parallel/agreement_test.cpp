#include "core/parallel/agreement.h"

#include <c10/util/Exception.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <stdexcept>
#include <vector>

#include "core/parallel/one_rank.h"
#include "dist/communicator/in_process/in_process.h"

namespace thaw {
namespace {

using ::testing::Each;
using ::testing::HasSubstr;
using ::testing::Not;

struct Verdict {
  ExitStatus status = ExitStatus::kDone;
  std::string message;
  bool agreed = false;
};

/// What each rank throws when `failures[rank]` happened to it on `hosts[rank]`.
std::vector<Verdict> verdicts(const std::vector<std::optional<LocalFailure>>& failures,
                              const std::vector<std::string>& hosts) {
  std::vector<Verdict> all(failures.size());
  run_ranks(static_cast<int>(failures.size()), [&](Communicator& communicator) {
    const auto rank = static_cast<std::size_t>(communicator.rank());
    try {
      agree(communicator, failures[rank], hosts[rank]);
    } catch (const Error& error) {
      all[rank] = {error.status(), error.what(), error.agreed()};
    }
    communicator.barrier();  // all ranks are still with each other
  });
  return all;
}

const LocalFailure kMissing{ExitStatus::kBadInput, "a.h5: no such file"};
const LocalFailure kFull{ExitStatus::kFailed, "/run: no space left"};

void expect_all(const std::vector<Verdict>& all, ExitStatus status, const std::string& message) {
  for (const Verdict& verdict : all) {
    EXPECT_EQ(verdict.status, status);
    EXPECT_EQ(verdict.message, message);
    EXPECT_TRUE(verdict.agreed);
  }
}

TEST(Agreement, ReturnsWhereNoRankFailed) {
  for (const Verdict& verdict : verdicts({{}, {}, {}}, {"a", "a", "b"})) {
    EXPECT_EQ(verdict.status, ExitStatus::kDone);
  }
}

TEST(Agreement, NamesTheRankAndHostThatFailed) {
  expect_all(verdicts({{}, {}, kMissing}, {"a", "a", "b"}), ExitStatus::kBadInput,
             "on rank 2 (host b): a.h5: no such file");
}

TEST(Agreement, MergesEqualMessages) {
  expect_all(verdicts({{}, kMissing, {}, kMissing}, {"a", "b", "a", "b"}), ExitStatus::kBadInput,
             "on ranks 1, 3 (host b): a.h5: no such file");
  expect_all(verdicts({{}, kMissing, kMissing, kMissing}, {"a", "a", "b", "c"}),
             ExitStatus::kBadInput, "on ranks 1-3 (hosts a, b, c): a.h5: no such file");
}

TEST(Agreement, SaysAMessageAloneWhereAllFailedAlike) {
  expect_all(verdicts({kMissing, kMissing}, {"a", "b"}), ExitStatus::kBadInput,
             "a.h5: no such file");
}

TEST(Agreement, KeepsDifferentMessagesApart) {
  expect_all(verdicts({{}, kFull, kMissing}, {"a", "a", "b"}), ExitStatus::kFailed,
             "on rank 1 (host a): /run: no space left\n"
             "on rank 2 (host b): a.h5: no such file");
}

TEST(Agreement, ThrowsTheTypeThatFitsTheStatus) {
  const auto communicator = make_self_communicator();
  EXPECT_THROW(agree(*communicator, kMissing), InputError);
  EXPECT_THROW(agree(*communicator, kFull), RunError);
  EXPECT_THROW(agree(*communicator, LocalFailure{ExitStatus::kDisagreement, "x"}),
               DisagreementError);
}

TEST(Agreement, CallsABodyOnAllRanksAndReturnsItsResult) {
  run_ranks(3, [](Communicator& communicator) {
    EXPECT_EQ(agreed(communicator, [&] { return 10 + communicator.rank(); }),
              10 + communicator.rank());
    bool called = false;
    agreed(communicator, [&] { called = true; });
    EXPECT_TRUE(called);
  });
}

TEST(Agreement, TurnsOneRanksExceptionIntoEverybodys) {
  std::vector<std::string> messages(2);
  run_ranks(2, [&](Communicator& communicator) {
    try {
      agreed(communicator, [&]() -> int {
        if (communicator.rank() == 1) throw std::runtime_error("foreign");
        return 1;
      });
    } catch (const RunError& error) {
      messages[static_cast<std::size_t>(communicator.rank())] = error.what();
    }
  });
  EXPECT_THAT(messages, Each(HasSubstr("foreign")));
  EXPECT_THAT(messages, Each(HasSubstr("on rank 1 (host ")));
}

TEST(Agreement, LeavesBacktracesOfLibTorchOut) {
  try {
    TORCH_CHECK(false, "planted");
  } catch (const std::exception& error) {
    const LocalFailure failure = failure_of(error);
    EXPECT_THAT(failure.message, HasSubstr("planted"));
    EXPECT_THAT(failure.message, Not(HasSubstr("frame #")));
  }
}

TEST(RankList, ReadsWell) {
  EXPECT_EQ(rank_list({3}), "rank 3");
  EXPECT_EQ(rank_list({1, 2}), "ranks 1, 2");
  EXPECT_EQ(rank_list({0, 1, 2, 5, 7, 8}), "ranks 0-2, 5, 7, 8");
}

}  // namespace
}  // namespace thaw
