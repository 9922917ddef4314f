// Numbers among a sub-command's own options: what is no number, or beyond its bounds, is refused
// with these said.

#include <gtest/gtest.h>

#include <string>

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
