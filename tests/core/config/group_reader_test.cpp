#include "core/config/group_reader.h"

#include <gtest/gtest.h>

#include "core/base/error.h"
#include "core/config/configuration_document.h"
#include "core/config/options_writer.h"

namespace thaw {
namespace {

std::string message_of(const std::string& groups) {
  try {
    parse_partial_configuration(groups, "a.toml");
  } catch (const InputError& error) {
    return error.what();
  }
  return "no error";
}

TEST(OwnGroups, AreReadAndWrittenInOrder) {
  const char kText[] = R"([model]
architecture = "bert"
[data]
file = "a.h5"
[[model.group]]
name = "weights"
parameters = ["*", "!*.bias", "!head.*"]

[[model.group]]
name = "rest"
parameters = ["*.bias", "head.weight"]
)";
  const auto document = parse_partial_configuration(kText, "a.toml");
  const std::vector<GroupOptions> expected = {{"weights", {"*", "!*.bias", "!head.*"}},
                                              {"rest", {"*.bias", "head.weight"}}};
  EXPECT_EQ(document.configuration.model.groups, expected);
  const auto again =
      parse_partial_configuration(write_options_toml(document.configuration), "b.toml");
  EXPECT_EQ(again.configuration, document.configuration);
}

TEST(OwnGroups, SayWhereAndWhat) {
  EXPECT_EQ(message_of("[[model.group]]\nname = \"a\"\n"),
            "a.toml:1: model.group[0].parameters: missing");
  EXPECT_EQ(message_of("[[model.group]]\nname = 3\nparameters = []\n"),
            "a.toml:2: model.group[0].name: expected a name, got the integer 3\n"
            "a.toml:3: model.group[0].parameters: expected an array of parameters' names or "
            "patterns");
  EXPECT_EQ(message_of("[[model.group]]\nname = \"a\"\nparameter = [\"*\"]\n"),
            "a.toml:1: model.group[0].parameters: missing\n"
            "a.toml:3: model.group[0].parameter: unknown key; did you mean \"parameters\"?");
  EXPECT_EQ(message_of("[[model.group]]\nname = \"a\"\nparameters = [\"b\"]\n"
                       "[[model.group]]\nname = \"a\"\nparameters = [\"c\"]\n"),
            "a.toml:5: model.group[1].name: \"a\" is the name of a group before");
  EXPECT_EQ(message_of("[model.group]\nname = \"a\"\n"),
            "a.toml:1: model.group: groups are written as [[model.group]], once for each");
}

}  // namespace
}  // namespace thaw
