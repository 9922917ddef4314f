// What a run folder keeps of what was read is trusted only as it was written, and only while the
// files are those that were read.

#include "launch/identity/kept_identity.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "core/base/error.h"
#include "launch/identity/program_identity.h"
#include "tests/support/temporary_folder.h"

namespace thaw {
namespace {

using testing::HasSubstr;

KeptSplit split() {
  return {.host = "a",
          .split = "train",
          .layout = "12",
          .sources = {{"x.h5", "/train/inputs", {1, 2, 3, 4, 5}}},
          .content = "34"};
}

TEST(KeptIdentityTest, IsReadBackAsItWasWritten) {
  const KeptIdentity identity{{{"data.file: mean", "0.5"}}, {split()}};
  const KeptIdentity back = kept_identity_from_json(to_json(identity), "i.json");
  EXPECT_EQ(back.facts, identity.facts);
  ASSERT_EQ(back.splits.size(), 1U);
  EXPECT_EQ(back.splits[0].sources, split().sources);
  EXPECT_TRUE(back.splits[0].stands_for(split()));
}

TEST(KeptIdentityTest, StandsOnlyForTheSameFileAsItWas) {
  const KeptSplit kept = split();
  KeptSplit now = split();
  now.sources[0].file = "elsewhere/x.h5";  // by another path
  EXPECT_TRUE(kept.stands_for(now));
  for (int i = 0; i < 9; ++i) {
    now = split();
    FileStamp& stamp = now.sources[0].stamp;
    if (i == 0) now.host = "b";
    if (i == 1) now.split = "validation";
    if (i == 2) now.layout = "13";
    if (i == 3) now.sources[0].array = "/validation/inputs";
    if (i == 4) now.sources.push_back(now.sources[0]);
    if (i == 5) ++stamp.device;
    if (i == 6) ++stamp.inode;
    if (i == 7) ++stamp.modified;
    if (i == 8) ++stamp.changed;
    EXPECT_FALSE(kept.stands_for(now)) << i;
  }
}

TEST(KeptIdentityTest, WhatIsDamagedOrForeignIsNotBelieved) {
  const std::string good = to_json(KeptIdentity{{}, {split()}});
  std::string other = good;
  other.replace(other.find("\"34\""), 4, "\"35\"");
  for (const std::string& bad : {other, good.substr(0, good.size() / 2), std::string("[]"),
                                 std::string(1000000, '['), std::string()}) {
    EXPECT_THROW(kept_identity_from_json(bad, "i.json"), InputError);
  }
  const TemporaryFolder folder;
  EXPECT_TRUE(read_kept_identity(folder / "none").splits.empty());
  std::ofstream(folder / "i.json") << other;
  testing::internal::CaptureStderr();
  EXPECT_TRUE(read_kept_identity(folder / "i.json").splits.empty());
  EXPECT_THAT(testing::internal::GetCapturedStderr(),
              HasSubstr("is damaged; all data is read anew"));
}

TEST(ProgramFactsTest, NameThisProgramAndTheLibTorchThatIsLoaded) {
  const Facts facts = program_facts();
  EXPECT_EQ(facts, program_facts());
  const auto value = [&](const std::string& subject, const std::string& what) {
    for (const Fact& fact : facts) {
      if (fact.subject == subject && fact.what == what) return fact.value;
    }
    return std::string();
  };
  EXPECT_NE(value("program", "build of thaw"), "");
  EXPECT_NE(value("LibTorch", "version"), "");
  EXPECT_NE(value("LibTorch", "build of libtorch_cpu.so"), "");
}

}  // namespace
}  // namespace thaw
