#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "core/base/error.h"
#include "core/data/dataset.h"
#include "tests/core/data/hdf5_writer.h"
#include "tests/support/ordinary_user.h"

namespace thaw {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class ExpandFiles : public testing::Test {
 protected:
  ExpandFiles() {
    for (const char* name : {"b.h5", "a.h5", "c.h5", "odd[1].h5"}) std::ofstream(folder_ / name);
  }
  std::string refusal(const std::vector<std::string>& patterns) {
    return message_of<InputError>([&] { expand_files(patterns); });
  }
  TemporaryFolder folder_;
};

TEST_F(ExpandFiles, KeepsTheOrderGivenAndSortsMatches) {
  EXPECT_THAT(expand_files({folder_ / "c.h5", folder_ / "[ab].h5"}),
              ElementsAre(folder_ / "c.h5", folder_ / "a.h5", folder_ / "b.h5"));
}

TEST_F(ExpandFiles, TakesAFileWhoseNameLooksLikeAGlob) {
  EXPECT_THAT(expand_files({folder_ / "odd[1].h5"}), ElementsAre(folder_ / "odd[1].h5"));
}

TEST_F(ExpandFiles, SaysWhatIsWrong) {
  EXPECT_THAT(refusal({}), HasSubstr("data.file: names no file"));
  EXPECT_THAT(refusal({""}), HasSubstr("data.file: an empty name"));
  EXPECT_THAT(refusal({folder_ / "d.h5"}), HasSubstr("d.h5\": no such file (looked for from /"));
  EXPECT_THAT(refusal({folder_ / "x*.h5"}), HasSubstr("x*.h5\" matches no file"));
  EXPECT_THAT(refusal({folder_.path()}), HasSubstr("is a folder; name its files: "));
  EXPECT_THAT(refusal({folder_ / "a.h5", folder_ / "*.h5"}),
              HasSubstr("a.h5\" is named twice: its samples would be drawn twice an epoch"));
  std::filesystem::create_symlink(folder_ / "a.h5", folder_ / "link.h5");
  EXPECT_THAT(refusal({folder_ / "a.h5", folder_ / "link.h5"}), HasSubstr("named twice, as "));
}

TEST_F(ExpandFiles, SaysThatAFileMayNotBeRead) {
  std::filesystem::permissions(folder_ / "a.h5", std::filesystem::perms::none);
  const OrdinaryUser user;
  ASSERT_TRUE(user.succeeded());
  EXPECT_THAT(refusal({folder_ / "a.h5"}), HasSubstr("Permission denied"));
}

}  // namespace
}  // namespace thaw
