#include "core/config/flags.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/base/error.h"
#include "core/config/option_table.h"

namespace thaw {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

TEST(TakeOverrides, LeavesTheSubcommandsOwnArguments) {
  std::vector<std::string> arguments = {"a.toml",      "--train.seed", "3",
                                        "--run-dir",   "runs/x.y",     "--data.file=b=c.h5",
                                        "--resume=no", "-v",           "--model.dropout",
                                        "-1",          "--",           "--train.beta1=0"};
  EXPECT_THAT(take_overrides(arguments),
              ElementsAre(Override{"train.seed", "3"}, Override{"data.file", "b=c.h5"},
                          Override{"model.dropout", "-1"}));
  EXPECT_THAT(arguments, ElementsAre("a.toml", "--run-dir", "runs/x.y", "--resume=no", "-v", "--",
                                     "--train.beta1=0"));
}

TEST(TakeOverrides, LetsBooleansStandAlone) {
  std::vector<std::string> arguments = {"--data.horizontal-flip", "a.toml", "--train.nesterov",
                                        "false", "--train.decay-norms-and-biases"};
  EXPECT_THAT(
      take_overrides(arguments),
      ElementsAre(Override{"data.horizontal-flip", "true"}, Override{"train.nesterov", "false"},
                  Override{"train.decay-norms-and-biases", "true"}));
  EXPECT_THAT(arguments, ElementsAre("a.toml"));
}

TEST(TakeOverrides, SaysWhereAValueIsMissing) {
  for (std::vector<std::string> arguments :
       {std::vector<std::string>{"--train.seed"}, {"--train.seed", "--run-dir", "x"}}) {
    try {
      take_overrides(arguments);
      FAIL() << "no error";
    } catch (const InputError& error) {
      EXPECT_STREQ(error.what(), "command line: --train.seed: a value is missing");
    }
  }
}

TEST(Help, ShowsEachOptionWithTypeUnitAndDefault) {
  const std::string help = configuration_help();
  for (const Option& option : option_table()) {
    EXPECT_THAT(help, HasSubstr("--" + option.name() + " "));
  }
  EXPECT_THAT(help, HasSubstr("--data.batch INTEGER (=64)              [samples] of one"));
  EXPECT_THAT(help, HasSubstr("--train.epsilon NUMBER (=1e-08)"));
  EXPECT_THAT(help, HasSubstr("float32 | bfloat16 | float64: of the computation"));
  EXPECT_THAT(help, HasSubstr("(required)"));
  EXPECT_THAT(
      help, testing::ContainsRegex("\\(required,[ \n]+or[ \n]+told[ \n]+by[ \n]+model.config\\)"));
}

}  // namespace
}  // namespace thaw
