#include "core/record/run_folder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>
#include <string>
#include <vector>

#include "core/base/error.h"
#include "tests/support/ordinary_user.h"

namespace thaw {
namespace {
namespace fs = std::filesystem;

class RunFolderTest : public testing::Test {
 protected:
  RunFolderTest() {
    root_ = fs::temp_directory_path() / ("thaw_run_folder_" + std::to_string(getpid()));
    fs::remove_all(root_);
    fs::create_directories(root_);
  }
  ~RunFolderTest() override { fs::remove_all(root_); }

  std::string refusal(const RunFolder& folder) {
    try {
      folder.check_usable();
    } catch (const InputError& error) {
      return error.what();
    }
    return "";
  }

  fs::path root_;
};

TEST_F(RunFolderTest, CheckingAnewFolderWritesNothing) {
  const RunFolder folder(root_ / "a" / "b");
  EXPECT_EQ(refusal(folder), "");
  EXPECT_FALSE(fs::exists(root_ / "a"));
}

TEST_F(RunFolderTest, AFolderThatHoldsARunIsRefused) {
  const RunFolder folder(root_ / "run");
  folder.create();
  EXPECT_EQ(refusal(folder), "");
  std::ofstream(folder.metrics()) << "{}\n";
  EXPECT_THAT(refusal(folder),
              testing::AllOf(testing::HasSubstr("holds a run already, which is never overwritten"),
                             testing::HasSubstr("--resume auto"),
                             testing::HasSubstr("name another folder with --run-dir")));
}

TEST_F(RunFolderTest, AFileInTheWayIsNamed) {
  std::ofstream(root_ / "file") << "x";
  EXPECT_THAT(refusal(RunFolder(root_ / "file" / "run")),
              testing::HasSubstr((root_ / "file").string() + " is not a folder"));
}

TEST_F(RunFolderTest, AFolderWithoutWritePermissionIsNamed) {
  fs::create_directory(root_ / "closed");
  fs::permissions(root_ / "closed", fs::perms::owner_read | fs::perms::owner_exec |
                                        fs::perms::others_read | fs::perms::others_exec);
  const OrdinaryUser user;
  ASSERT_TRUE(user.succeeded());
  EXPECT_THAT(refusal(RunFolder(root_ / "closed" / "run")),
              testing::HasSubstr("Permission denied in " + (root_ / "closed").string()));
}

TEST_F(RunFolderTest, HalfWrittenFilesOfKilledRunsGoAndNothingElse) {
  const RunFolder folder(root_ / "a" / "run");
  folder.create();
  for (const char* name :
       {"metrics.jsonl.7-a1.tmp", "weights.safetensors.7-a1.tmp", "summary.json.7-a1.tmp",
        "mine.tmp", "weights.safetensors", "notes.tmp"}) {
    std::ofstream(folder.path() / name) << "x";
  }
  folder.remove_leftovers();
  std::vector<std::string> names;
  for (const auto& each : fs::directory_iterator(folder.path())) {
    names.push_back(each.path().filename().string());
  }
  EXPECT_THAT(names, testing::UnorderedElementsAre("mine.tmp", "weights.safetensors", "notes.tmp"));
}

}  // namespace
}  // namespace thaw
