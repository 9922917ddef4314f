#include "core/config/option_table.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <string>
#include <vector>

#include "core/config/optimizers.h"
#include "core/config/options_writer.h"
#include "core/config/toml_text.h"

namespace thaw {
namespace {

/// The smallest file that is complete, in two lines; `rest` begins on line 3.
std::string with_required(const std::string& rest) {
  return "model.architecture = \"bert\"\ndata.file = \"a.h5\"\n" + rest;
}

/// A value of the option's type that is not its default.
OptionValue another_value(const Option& option) {
  OptionValue value = option.default_value();
  if (auto* boolean = std::get_if<bool>(&value)) *boolean = !*boolean;
  if (auto* integer = std::get_if<std::int64_t>(&value)) *integer = 123456789012345;
  if (auto* number = std::get_if<double>(&value)) *number = 0.1 + 0.2;  // 0.30000000000000004
  if (auto* string = std::get_if<std::string>(&value)) {
    *string = option.choices.empty() ? "a \"quoted\"\\path\n\x01 µ" : option.choices.back();
  }
  if (auto* list = std::get_if<std::vector<std::string>>(&value)) *list = {"x,y.h5", "z\t.h5"};
  if (option.name() == "schedule.ratio") value = 1 / 3.0 + 1;
  if (option.range && option.range->most < 1e12) {
    if (std::holds_alternative<std::int64_t>(value)) {
      value = static_cast<std::int64_t>(option.range->most);
    }
  }
  return value;
}

TEST(OptionTable, EveryOptionIsReadByFileAndFlagAndWrittenAgain) {
  for (const Option& option : option_table()) {
    SCOPED_TRACE(option.name());
    ConfigurationDocument wanted = parse_configuration(with_required(""), "a.toml");
    const OptionValue value = another_value(option);
    ASSERT_NE(value, option.get(wanted));
    // Whatever is not given is the wanted optimizer's own, not that of the default one.
    TrainOptions& train = wanted.configuration.train;
    train.beta1 = train.beta2 = -1;
    option.set(wanted, value);
    train = with_own_defaults(train);

    const std::string line = option.name() + " = " + toml_text(value) + "\n";
    std::string text = with_required("");
    if (option.required)
      text = option.key == "file" ? text.substr(0, text.find('\n') + 1)
                                  : text.substr(text.find('\n') + 1);
    const auto from_file = parse_configuration(text + line, "a.toml");
    EXPECT_EQ(from_file.configuration, wanted.configuration);
    EXPECT_EQ(from_file.schedule, wanted.schedule);

    if (!std::holds_alternative<std::vector<std::string>>(value)) {
      const auto* string = std::get_if<std::string>(&value);
      const auto from_flag = parse_configuration(
          with_required(""), "a.toml", {{option.name(), string ? *string : toml_text(value)}});
      EXPECT_EQ(from_flag.configuration, wanted.configuration);
      EXPECT_EQ(from_flag.schedule, wanted.schedule);
    }
    const auto rewritten = parse_configuration(write_options_toml(wanted.configuration), "b.toml");
    EXPECT_EQ(rewritten.configuration, wanted.configuration);
  }
}

TEST(OptionTable, EveryNumberThatCountsHasBothBounds) {
  for (const Option& option : option_table()) {
    const bool counts = std::holds_alternative<std::int64_t>(option.default_value());
    if (!counts || option.key.ends_with("seed")) continue;
    ASSERT_TRUE(option.range) << option.name();
    EXPECT_GT(option.range->least, -2) << option.name();
    EXPECT_LE(option.range->most, 1e15) << option.name();
    EXPECT_NE(objection_to(option, std::int64_t{1} << 60), "") << option.name();
  }
}

TEST(OptionTable, OptimizersHaveTheirOwnBetasByFileByFlagAndWrittenAgain) {
  for (std::size_t i = 0; i < kOptimizerNames.size(); ++i) {
    const std::string name{kOptimizerNames[i]};
    SCOPED_TRACE(name);
    const auto from_file =
        parse_configuration(with_required("train.optimizer = \"" + name + "\"\n"), "a.toml");
    const TrainOptions& train = from_file.configuration.train;
    EXPECT_EQ(train.optimizer, static_cast<OptimizerKind>(i));
    const OptimizerDefaults own = defaults_of(train.optimizer);
    EXPECT_EQ(train.beta1, own.beta1.value_or(0.9));
    EXPECT_EQ(train.beta2, own.beta2.value_or(0.999));

    const Override flag{"train.optimizer", name};
    for (const char* file : {"", "train.optimizer = \"adamw\"\n", "train.optimizer = \"lion\"\n"}) {
      EXPECT_EQ(parse_configuration(with_required(file), "a.toml", {flag}).configuration,
                from_file.configuration)
          << file;
    }
    const std::string resolved = write_options_toml(from_file.configuration);
    EXPECT_EQ(parse_configuration(resolved, "b.toml").configuration, from_file.configuration);
  }
}

}  // namespace
}  // namespace thaw
