// A sub-command's own options: what is no number, or beyond its bounds, or none of the words that
// there are, is refused with these said.

#include <gtest/gtest.h>

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "core/base/error.h"
#include "launch/command/arguments.h"
#include "launch/job/launch_command.h"

namespace thaw {
namespace {

template <class Body>
std::string refusal(const Body& body) {
  try {
    body();
  } catch (const InputError& error) {
    return error.what();
  }
  return "";
}

TEST(OwnOptions, WholeNumbersHaveBothBounds) {
  EXPECT_EQ(whole_number_of("--seeds", "1", 1, 10), 1);
  EXPECT_EQ(whole_number_of("--seeds", "10", 1, 10), 10);
  for (const char* text : {"0", "-1", "11", "1.0", "1e1", "inf", "nan", "", " 1", "1 ", "+1", "0x1",
                           "9223372036854775807", "9223372036854775808", "-9223372036854775809"}) {
    EXPECT_EQ(
        refusal([&] { whole_number_of("--seeds", text, 1, 10); }),
        std::string("--seeds ") + text + ": expected a whole number of at least 1, at most 10");
  }
}

TEST(OwnOptions, NumbersHaveBothBounds) {
  EXPECT_EQ(positive_number_of("--target", "0.5", 1), 0.5);
  EXPECT_EQ(positive_number_of("--target", "1", 1), 1);
  for (const char* text :
       {"0", "-0.0", "-1", "1.0000001", "1e308", "1e999", "inf", "nan", "a", ""}) {
    EXPECT_EQ(refusal([&] { positive_number_of("--target", text, 1); }),
              std::string("--target ") + text + ": expected a number above 0, at most 1");
  }
}

TEST(OwnOptions, AreHeldToTheWordsThatShellsOffer) {
  ArgumentParser parser("do KIND", "");
  parser.positional("KIND", "");
  parser.choices("KIND", {"text", "images", "sounds"});
  parser.option("one", "", "a");
  parser.choices("one", {"a", "b"});
  parser.option("several", "", "a");
  parser.item_choices("several", {"a", "b"});
  parser.option("any", "");
  parser.suggestions("any", {"a", "b"});
  const auto with = [&](std::vector<std::string> arguments) {
    return refusal([&] { parser.parse(std::move(arguments)); });
  };
  EXPECT_EQ(with({"text", "--one", "b", "--several", "b,a", "--any", "c"}), "");
  EXPECT_EQ(with({"texts"}), "KIND texts: expected text, images or sounds");
  EXPECT_EQ(with({"text", "--one", "c"}), "--one c: expected a or b");
  EXPECT_EQ(with({"text", "--several", "a,c"}), "--several c: expected a or b");
  EXPECT_EQ(with({"text", "--one", ""}), "--one : expected a or b");
  EXPECT_EQ(with({"text", "--several", ","}), "--several ,: expected a comma-separated list");
  std::map<std::string, std::vector<std::string>> offered;
  const ArgumentList list = parser.arguments();
  for (const auto& entries : {list.positionals, list.options}) {
    for (const auto& entry : entries) offered[entry.name] = entry.choices;
  }
  EXPECT_EQ(offered.at("any"), (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(offered.at("KIND").size(), 3U);
  EXPECT_TRUE(offered.at("help").empty());
}

TEST(OwnOptions, ArePeekedAtWithoutAWord) {
  ArgumentParser parser("do THING", "");
  parser.positional("THING", "");
  parser.flag("predict", "");
  EXPECT_FALSE(parser.peek({"a"})->has("predict"));
  EXPECT_TRUE(parser.peek({"a", "--predict"})->has("predict"));
  EXPECT_TRUE(parser.peek({"a", "--pred"})->has("predict"));  // as it is parsed
  EXPECT_FALSE(parser.peek({"--predict"}).has_value());       // THING is missing
  EXPECT_FALSE(parser.peek({"a", "--predict", "--none"}).has_value());
  EXPECT_FALSE(parser.peek({"a", "--predict", "--help"}).has_value());
}

TEST(OwnOptions, HelpFitsATerminal) {
  ArgumentParser parser(
      "do THING [--one A_LONG_VALUE] [--another ONE_THAT_IS_LONGER STILL] [--last]",
      std::string(50, 'a') + " " + std::string(50, 'b'));
  const std::string help = parser.help();
  EXPECT_EQ(
      help.find("Usage: thaw do THING [--one A_LONG_VALUE] [--another ONE_THAT_IS_LONGER STILL]\n"
                "    [--last]\n\n" +
                std::string(50, 'a') + "\n" + std::string(50, 'b')),
      0U);
}

TEST(OwnOptions, RanksAndRestartsOfALaunch) {
  const auto with = [](const char* option, const char* value) {
    return refusal([&] { parse_launch({"-n", "2", option, value, "--", "train", "a.toml"}); });
  };
  EXPECT_EQ(with("--restarts", "0"), "");
  EXPECT_EQ(with("-n", "65536"), "");
  for (const char* text : {"0", "-1", "65537", "2147483648", "9223372036854775807", "1.5", "nan"}) {
    EXPECT_EQ(with("-np", text), std::string("-np ") + text +
                                     ": expected a whole number of at least 1, at most 65536");
  }
  EXPECT_EQ(with("--restarts", "1000001"),
            "--restarts 1000001: expected a whole number of at least 0, at most 1000000");
}

}  // namespace
}  // namespace thaw
