#include "core/config/option_table.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "core/base/error.h"
#include "core/config/optimizers.h"
#include "core/config/options_writer.h"
#include "core/config/toml_text.h"
#include "tests/support/temporary_folder.h"

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

/// What people write where they mean another number: as TOML, and as a flag.
constexpr const char* kOddNumbers[] = {"-1",
                                       "-1.5",
                                       "-0.0",
                                       "0",
                                       "0.0",
                                       "0.5",
                                       "1e-320",
                                       "1e-31",
                                       "1e6",
                                       "1e15",
                                       "1e16",
                                       "1e99",
                                       "1e308",
                                       "-1e308",
                                       "inf",
                                       "-inf",
                                       "nan",
                                       "9223372036854775807",
                                       "-9223372036854775808"};

/// What a configuration with `text` as the option's value says of it; "" where it takes it, and
/// then what it took is the number that was written.
std::string objection_to_written(const Option& option, const std::string& text, bool by_flag) {
  const std::string line = by_flag ? "" : option.name() + " = " + text + "\n";
  std::vector<Override> flags;
  if (by_flag) flags.push_back({option.name(), text});
  try {
    const auto document = parse_configuration(with_required(line), "a.toml", flags);
    const OptionValue value = option.get(document);
    const auto* integer = std::get_if<std::int64_t>(&value);
    const double number = integer ? static_cast<double>(*integer) : std::get<double>(value);
    // The optimizer's own stands for -1 in its betas.
    if (value == option.default_value() || option.key.starts_with("beta")) return "";
    EXPECT_EQ(number, std::strtod(text.c_str(), nullptr));
    EXPECT_TRUE(option.range->contains(number));
    return "";
  } catch (const InputError& error) {
    return error.what();
  }
}

TEST(OptionTable, EveryNumberHasBothBoundsAndIsRefusedBeyondThemWithTheseSaid) {
  for (const Option& option : option_table()) {
    const OptionValue standard = option.default_value();
    const bool whole = std::holds_alternative<std::int64_t>(standard);
    if (!whole && !std::holds_alternative<double>(standard)) continue;
    SCOPED_TRACE(option.name());
    ASSERT_TRUE(option.range) << "a number without a range";
    ASSERT_TRUE(option.range->bounded()) << option.range->text();
    for (const std::string text : kOddNumbers) {
      SCOPED_TRACE(text);
      const double number = std::strtod(text.c_str(), nullptr);
      const bool typed = !whole || text.find_first_of(".einf") == std::string::npos;
      const double kept = whole ? static_cast<double>(std::get<std::int64_t>(standard))
                                : std::get<double>(standard);
      const bool allowed =
          typed && std::isfinite(number) && (option.range->contains(number) || number == kept);
      for (const bool by_flag : {false, true}) {
        const std::string wrong = objection_to_written(option, text, by_flag);
        if (allowed) {
          EXPECT_EQ(wrong, "") << by_flag;
          continue;
        }
        const std::string reason = !typed                   ? "expected an integer"
                                   : !std::isfinite(number) ? "is not a finite number"
                                                            : option.range->text();
        EXPECT_NE(wrong.find(reason), std::string::npos) << by_flag << " " << wrong;
        EXPECT_NE(wrong.find(option.name()), std::string::npos) << wrong;
      }
    }
  }
}

TEST(OptionTable, WhatCountsIsWithinWhatADoubleHolds) {
  for (const Option& option : option_table()) {
    const bool counts = std::holds_alternative<std::int64_t>(option.default_value());
    if (!counts || option.key.ends_with("seed")) continue;
    EXPECT_GT(option.range->least, -2) << option.name();
    EXPECT_LE(option.range->most, 1e15) << option.name();
  }
}

TEST(OptionTable, AListOfFilesMayHoldNamesWithCommas) {
  const TemporaryFolder folder;
  std::filesystem::create_directory(folder / "lr=0.1,batch=16");
  const std::string odd = folder / "lr=0.1,batch=16/d.h5", plain = folder / "a.h5";
  std::ofstream(odd) << "x";
  std::ofstream(plain) << "x";
  const auto files = [](const std::string& flag) {
    return parse_configuration(with_required(""), "a.toml", {{"data.file", flag}})
        .configuration.data.file;
  };
  using Files = std::vector<std::string>;
  EXPECT_EQ(files(odd), Files{odd});
  EXPECT_EQ(files(plain + "," + odd + "," + plain), (Files{plain, odd, plain}));
  EXPECT_EQ(files("none.h5," + odd), (Files{"none.h5", odd}));
  EXPECT_EQ(files("a,b.h5"), (Files{"a", "b.h5"}));  // nothing of the kind is there
  EXPECT_EQ(files("[\"a,b.h5\", 'c.h5']"), (Files{"a,b.h5", "c.h5"}));
  EXPECT_EQ(files("[ab].h5"), Files{"[ab].h5"});
  EXPECT_EQ(files("[ab].h5,[1]"), (Files{"[ab].h5", "[1]"}));
  EXPECT_EQ(files("[1, 2]"), (Files{"[1", " 2]"}));  // no list of texts
}

TEST(OptionTable, AListOfTextsIsNotCutAtCommas) {
  using Texts = std::vector<std::string>;
  const auto texts = [](const std::string& file, const std::vector<Override>& flags) {
    return parse_configuration(with_required(file), "a.toml", flags).configuration.output.samples;
  };
  EXPECT_EQ(texts("output.samples = [\"dog (noun, animal):\", \"b\"]\n", {}),
            (Texts{"dog (noun, animal):", "b"}));
  EXPECT_EQ(texts("", {{"output.samples", "dog (noun, animal):"}}), Texts{"dog (noun, animal):"});
  EXPECT_EQ(texts("", {{"output.samples", "a, b"}, {"output.samples", "c"}}), (Texts{"a, b", "c"}));
  EXPECT_EQ(texts("", {{"output.samples", "[\"a, b\", \"c\"]"}}), (Texts{"a, b", "c"}));
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
