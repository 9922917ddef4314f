// Data that were read once are not read again while their files stand, and always where they do
// not.

#include "launch/identity/data_identity.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <chrono>
#include <thread>

#include "core/data/dataset.h"
#include "core/parallel/one_rank.h"
#include "launch/run/data_opening.h"
#include "launch/run/run_setup.h"
#include "tests/core/data/hdf5_writer.h"

namespace thaw {
namespace {

class DataIdentityTest : public testing::Test {
 protected:
  DataIdentityTest() {
    Hdf5Writer file(path_);
    write_images(file, "train", 20, 3, 8, 8);
    write_images(file, "test", 5, 3, 8, 8);
  }

  DataIdentity read(const KeptIdentity& kept) const {
    RunSetup setup;
    setup.dataset = std::make_shared<Dataset>(std::vector<std::string>{path_});
    setup.splits = {"train"};
    const std::unique_ptr<Communicator> alone = make_self_communicator();
    return data_identity(setup, kept, *alone, nullptr);
  }

  static std::string content(const DataIdentity& identity) {
    for (const Fact& fact : identity.facts) {
      if (fact.what == "inputs") return fact.value;
    }
    return "";
  }

  TemporaryFolder folder_;
  std::string path_ = folder_ / "a.h5";
};

TEST_F(DataIdentityTest, IsReadOnceWhileTheFileStands) {
  const DataIdentity young = read({});
  EXPECT_TRUE(young.splits.empty());  // written too shortly before to be known again
  std::this_thread::sleep_for(std::chrono::milliseconds(2200));
  const DataIdentity first = read({});
  EXPECT_EQ(content(first), content(young));
  ASSERT_EQ(first.splits.size(), 1U);
  // What is kept is believed, not read: a value that no data have shows it.
  KeptIdentity kept{{}, first.splits};
  kept.splits[0].content = "believed";
  EXPECT_EQ(content(read(kept)), "believed");
  EXPECT_EQ(read(kept).splits.size(), 1U);
  ASSERT_EQ(::chmod(path_.c_str(), 0600), 0);
  EXPECT_EQ(content(read(kept)), content(first));
}

TEST(ReadingProgress, IsToldWhereItTakesLong) {
  testing::internal::CaptureStderr();
  const DecodeProgress quick = reading_progress(/*rank=*/0, nullptr);
  quick("split train", 1'000'000, 2'000'000);
  quick("split train", 2'000'000, 2'000'000);
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "");
  testing::internal::CaptureStderr();
  const DecodeProgress slow = reading_progress(/*rank=*/0, nullptr);
  std::this_thread::sleep_for(std::chrono::milliseconds(3100));
  slow("split train", 1'000'000, 2'000'000);
  const std::string told = testing::internal::GetCapturedStderr();
  EXPECT_NE(told.find("reading split train: 50 % of 2 MB"), std::string::npos) << told;
  EXPECT_FALSE(reading_progress(/*rank=*/1, nullptr));
}

}  // namespace
}  // namespace thaw
