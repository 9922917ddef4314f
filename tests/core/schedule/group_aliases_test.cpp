// A schedule that names the head of a network whose head is tied to the embeddings.
#include "core/schedule/toml/group_aliases.h"

#include <gmock/gmock.h>

#include "tests/core/schedule/schedule_fixture.h"

namespace thaw {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

const std::vector<std::string> kTied = {"embeddings", "layers.0", "layers.1", "layers.2", "norm"};
const GroupAliases kAliases = {{"head", "embeddings"}};

Schedule tied_schedule(const std::string& text, const GroupAliases& aliases,
                       const std::vector<Override>& flags = {}) {
  return resolve_schedule(parse_configuration("model.architecture = \"bert\"\n"
                                              "data = { file = \"a.h5\", batch = 10 }\n" +
                                                  text,
                                              "a.toml", flags),
                          kTied, 100, /*has_validation=*/true, kMetrics, aliases);
}

const std::string kRandom = R"(
[schedule]
preset = "random"
stage-epochs = 1
learning-rate = 1e-3
)";

TEST(GroupAliases, ServePoliciesAsPapersWriteThem) {
  const std::string policy = kRandom + R"([schedule.policy]
always = ["embeddings", "norm", "head"]
groups = 2
)";
  const Schedule schedule = tied_schedule(policy, kAliases);
  EXPECT_THAT(schedule.stages.front().policy->always(), ElementsAre("embeddings", "norm"));
  try {
    tied_schedule(policy, {});
    FAIL();
  } catch (const InputError& error) {
    EXPECT_THAT(error.what(), HasSubstr("\"head\" matches no group"));
  }
}

TEST(GroupAliases, ServeFlags) {
  const Schedule schedule =
      tied_schedule(kRandom, kAliases, {{"schedule.policy.always", "norm,head"}});
  EXPECT_THAT(schedule.stages.front().policy->always(), ElementsAre("embeddings", "norm"));
}

TEST(GroupAliases, ServeStagesRatesAndCurves) {
  const Schedule schedule = tied_schedule(R"(
[[schedule.stage]]
name = "a"
groups = ["layers.*", "head"]
learning-rate = { head = 1e-3, "*" = 1e-4 }
until = { epochs = 1 }
curve = { shape = "constant", warmup-fraction = 0.0 }
[[schedule.stage]]
name = "b"
groups = ["!head"]
learning-rate = 1e-5
until = { epochs = 1 }
)",
                                          kAliases);
  EXPECT_THAT(outline(schedule), ElementsAre("a: embeddings layers.0 layers.1 layers.2",
                                             "b: layers.0 layers.1 layers.2 norm"));
  const Schedule plain = tied_schedule(R"(
[[schedule.stage]]
name = "a"
groups = ["layers.*", "embeddings"]
learning-rate = { embeddings = 1e-3, "*" = 1e-4 }
until = { epochs = 1 }
curve = { shape = "constant", warmup-fraction = 0.0 }
[[schedule.stage]]
name = "b"
groups = ["!embeddings"]
learning-rate = 1e-5
until = { epochs = 1 }
)",
                                       {});
  EXPECT_EQ(schedule, plain);
}

TEST(GroupAliases, LeaveWhatIsNoListToItsReader) {
  EXPECT_THROW(tied_schedule("[[schedule.stage]]\nname = \"a\"\ngroups = 3\nlearning-rate = 1.0\n"
                             "until = { epochs = 1 }\n",
                             kAliases),
               InputError);
}

}  // namespace
}  // namespace thaw
