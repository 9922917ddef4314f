#include "core/parallel/fact_agreement.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/base/error.h"
#include "dist/communicator/in_process/in_process.h"

namespace thaw {
namespace {

using ::testing::HasSubstr;

const Facts kFacts = {
    {"", "curve", "linear"}, {"a", "shape", "[2]"}, {"a", "rate", "0.1"}, {"b", "shape", "[3]"}};

Facts changed(std::size_t index, const std::string& value) {
  Facts facts = kFacts;
  facts[index].value = value;
  return facts;
}

TEST(Facts, TravelAsText) { EXPECT_EQ(decode_facts(encode(kFacts)), kFacts); }

TEST(Differences, AreNoneBetweenEqualFacts) {
  EXPECT_EQ(describe_differences({kFacts, kFacts, kFacts}), "");
}

TEST(Differences, NameWhatDiffersAndWhere) {
  EXPECT_EQ(describe_differences({kFacts, changed(2, "0.2"), kFacts}),
            "  a: rate 0.1 on ranks 0, 2; 0.2 on rank 1");
  EXPECT_EQ(describe_differences({kFacts, changed(0, "cosine"), changed(0, "cosine")}),
            "  curve: linear on rank 0; cosine on ranks 1, 2");
}

TEST(Differences, NameSubjectsThatAreMissingOnce) {
  Facts without_a = kFacts;
  without_a.erase(without_a.begin() + 1, without_a.begin() + 3);
  EXPECT_EQ(describe_differences({kFacts, without_a}), "  a: is missing on rank 1");
}

TEST(Differences, NameFactsThatAreMissing) {
  Facts without_rate = kFacts;
  without_rate.erase(without_rate.begin() + 2);
  EXPECT_EQ(describe_differences({kFacts, without_rate}),
            "  a: rate 0.1 on rank 0; nothing on rank 1");
}

TEST(Differences, AreCutShort) {
  Facts other = kFacts;
  for (Fact& fact : other) fact.value += "!";
  EXPECT_THAT(describe_differences({kFacts, other}, 2), HasSubstr("\n  and 2 more"));
}

TEST(FactAgreement, ThrowsTheSameOnAllRanks) {
  run_ranks(3, [](Communicator& communicator) {
    agree_on_facts(communicator, "plans", kFacts);
    try {
      agree_on_facts(communicator, "plans", communicator.rank() == 1 ? changed(1, "[4]") : kFacts);
      ADD_FAILURE() << "not noticed";
    } catch (const DisagreementError& error) {
      EXPECT_STREQ(error.what(),
                   "ranks hold different plans:\n  a: shape [2] on ranks 0, 2; [4] on rank 1");
      EXPECT_TRUE(error.agreed());
    }
    communicator.barrier();
  });
}

}  // namespace
}  // namespace thaw
