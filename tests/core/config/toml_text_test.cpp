#include "core/config/toml_text.h"

#include <gtest/gtest.h>

#include <limits>

#include "core/base/error.h"
#include "core/config/toml_reader.h"

namespace thaw {
namespace {

TEST(TomlText, WritesNumbersShortAndExact) {
  EXPECT_EQ(toml_text(1e-5), "1e-05");
  EXPECT_EQ(toml_text(1.0), "1.0");
  EXPECT_EQ(toml_text(-3.0), "-3.0");
  EXPECT_EQ(toml_text(0.1), "0.1");
  EXPECT_EQ(toml_text(1e22), "1e+22");
  EXPECT_EQ(toml_text(std::int64_t{-7}), "-7");
}

TEST(TomlText, ReadsBackToTheSameBits) {
  using Limits = std::numeric_limits<double>;
  for (const double value : {1e-5, 0.1 + 0.2, 1 / 3.0, 5e-324, Limits::max(), Limits::min(),
                             123456789.0, 1e16, 1e17, -2.5e-3, -0.0}) {
    const Setting root = read_toml("x = " + toml_text(value), "t");
    EXPECT_EQ(std::get<double>(root.find("x")->value), value) << toml_text(value);
  }
}

TEST(TomlText, StoresPathsWholeThatAreNoUtf8) {
  const std::string path =
      "donn\xe9"
      "es/\xff.h5";
  const Setting root = read_toml("x = " + toml_text(path), "t");
  EXPECT_EQ(as_string(*root.find("x")), path);
  const Setting keyed = read_toml(toml_key(path) + " = 1", "t");
  EXPECT_NE(keyed.find(path), nullptr);
}

TEST(TomlText, EscapesWhatMustBe) {
  EXPECT_EQ(toml_text(std::string_view("a\"b\\c\n")), "\"a\\\"b\\\\c\\u000A\"");
  EXPECT_EQ(toml_key("learning-rate"), "learning-rate");
  EXPECT_EQ(toml_key("encoder.*"), "\"encoder.*\"");
  EXPECT_EQ(toml_key(""), "\"\"");
  for (int byte = 1; byte < 128; ++byte) {
    const std::string text = "a" + std::string(1, static_cast<char>(byte)) + "b";
    const Setting root = read_toml(toml_key(text) + " = " + toml_text(text), "t");
    ASSERT_TRUE(root.find(text)) << byte;
    EXPECT_EQ(as_string(*root.find(text)), text);
  }
}

TEST(ReadToml, ReadsOrRefusesDamagedText) {
  const std::string whole =
      "a.\"b c\" = { x = 1, y = [ 1.5, { z = 't' } ] }\n[[d.e]]\nf = \"\"\"g\"\"\"\nh = "
      "1979-05-27\n";
  int read = 0, refused = 0;
  for (std::size_t at = 0; at <= whole.size(); ++at) {
    for (const std::string& damaged :
         {whole.substr(0, at), whole.substr(0, at) + "=" + whole.substr(at),
          whole.substr(0, at) + "\xff" + whole.substr(at), whole.substr(at)}) {
      try {
        read_toml(damaged, "t");
        ++read;
      } catch (const InputError& error) {
        EXPECT_EQ(std::string(error.what()).rfind("t:", 0), 0u) << error.what();
        ++refused;
      }
    }
  }
  EXPECT_GT(read, 10);
  EXPECT_GT(refused, 100);
}

}  // namespace
}  // namespace thaw
