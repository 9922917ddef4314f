// Text from files and paths: any bytes, shown without harm and stored whole; JSON and files that
// claim too much.

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstddef>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/error.h"
#include "core/base/input_text.h"
#include "core/base/json_text.h"
#include "core/base/text_bytes.h"
#include "tests/support/temporary_folder.h"

namespace thaw {
namespace {

using testing::ThrowsMessage;

TEST(ForeignText, ShowsWhatItHoldsAndSteersNoTerminal) {
  EXPECT_EQ(printable("l\xe4ufe"), "l\\xe4ufe");
  EXPECT_EQ(printable("\x1b[2J\nb\x07\x7f"), "\\x1b[2J\\x0ab\\x07\\x7f");
  EXPECT_EQ(printable("\xc2\x9b"
                      "2J"),
            "\\xc2\\x9b2J");  // a terminal takes U+009B for ESC [
  EXPECT_EQ(printable("Füße … 猫"), "Füße … 猫");
  EXPECT_EQ(printable_lines("a\n\tb\r\x1b"), "a\n\tb\\x0d\\x1b");
}

TEST(ForeignText, TellsUtf8) {
  for (const char* text : {"", "a", "é", "猫", "\xf0\x9f\x90\xb1", "\xf4\x8f\xbf\xbf"}) {
    EXPECT_TRUE(is_utf8(text)) << text;
  }
  for (const char* text :
       {"\x80", "\xc3", "\xc0\xaf", "\xe0\x80\xaf", "\xed\xa0\x80", "\xf0\x80\x80\x80",
        "\xf4\x90\x80\x80", "\xf8\x88\x80\x80\x80", "\xff", "a\xe4u"}) {
    EXPECT_FALSE(is_utf8(text)) << printable(text);
  }
}

TEST(ForeignText, IsStoredWhole) {
  std::string all;
  for (int byte = 1; byte < 256; ++byte) all += static_cast<char>(byte);
  for (const std::string& bytes :
       {std::string("l\xe4ufe"), std::string("läufe"), all, std::string("\xee\xbe\x80"),
        std::string("\xee\xbf\xbf\xee"), std::string("\xc3"), std::string()}) {
    const std::string text = utf8_of_bytes(bytes);
    EXPECT_TRUE(is_utf8(text)) << printable(bytes);
    EXPECT_EQ(bytes_of_utf8(text), bytes) << printable(bytes);
  }
  EXPECT_EQ(utf8_of_bytes("läufe"), "läufe");
}

TEST(JsonText, TakesAnyBytes) {
  const nlohmann::ordered_json value = {{"path", "l\xe4ufe"}, {"k\xff", {1, "é", nullptr}}};
  const nlohmann::ordered_json read = nlohmann::ordered_json::parse(json_text(value));
  EXPECT_EQ(bytes_of_utf8(read.at("path").get<std::string>()), "l\xe4ufe");
  EXPECT_EQ(read.at(utf8_of_bytes("k\xff")), value.at("k\xff"));
  const nlohmann::ordered_json plain = {{"b", 1}, {"a", "é"}};
  EXPECT_EQ(json_text(plain), plain.dump());
  EXPECT_EQ(json_text(plain, 2), plain.dump(2));
}

TEST(JsonText, KnowsHowDeepItIs) {
  EXPECT_FALSE(json_is_deeper(std::string(64, '[') + std::string(64, ']')));
  EXPECT_TRUE(json_is_deeper(std::string(65, '[')));
  EXPECT_FALSE(
      json_is_deeper("\"" + std::string(100, '{') + "\\\"" + std::string(100, '[') + "\""));
  std::string flat = "[";
  for (int i = 0; i < 100; ++i) flat += "[],{},";
  EXPECT_FALSE(json_is_deeper(flat));
}

TEST(InputText, IsBoundedWhateverIsThere) {
  const TemporaryFolder folder;
  const auto refusal = [&](const std::string& path, std::int64_t most) -> std::string {
    try {
      read_input_text(path, most);
    } catch (const InputError& error) {
      return error.what();
    }
    return "";
  };
  const std::string file = folder / "file";
  std::ofstream(file) << "twelve bytes";
  EXPECT_EQ(read_input_text(file, 12), "twelve bytes");
  EXPECT_EQ(refusal(file, 11), file + ": cannot be read: it is larger than 11 bytes");
  EXPECT_EQ(refusal("/dev/zero", 1 << 20), "/dev/zero: cannot be read: it is larger than 1.0 MiB");
  EXPECT_EQ(refusal(folder / "none", 1), folder / "none" +
                                             ": cannot be read: No such file or "
                                             "directory");
  EXPECT_EQ(refusal(folder.path(), 1), folder.path() + ": cannot be read: Is a directory");
  const std::string pipe = folder / "pipe";
  ASSERT_EQ(mkfifo(pipe.c_str(), 0600), 0);
  EXPECT_EQ(refusal(pipe, 1),
            pipe + ": cannot be read: it is a pipe or a device, to which nobody writes");
}

TEST(InputLines, ComeOneAfterAnother) {
  const TemporaryFolder folder;
  const auto lines_of = [&](const std::string& text) {
    const std::string path = folder / "lines";
    std::ofstream(path, std::ios::binary) << text;
    InputLines file(path);
    std::vector<std::string> lines;
    for (std::string line; file.next(line);) {
      lines.push_back(line + (file.ended() ? "" : "|"));
      EXPECT_EQ(file.number(), std::ssize(lines));
    }
    std::string more = "left";
    EXPECT_FALSE(file.next(more));
    return lines;
  };
  using Lines = std::vector<std::string>;
  EXPECT_EQ(lines_of(""), Lines());
  EXPECT_EQ(lines_of("a\n\nb\n"), Lines({"a", "", "b"}));
  EXPECT_EQ(lines_of("a\nb"), Lines({"a", "b|"}));
  EXPECT_EQ(lines_of(std::string("a\0b\n", 4)), Lines({std::string("a\0b", 3)}));
  // Across what is read at a time, which is 64 KiB.
  for (const std::size_t length : {65534, 65535, 65536, 65537, 200000}) {
    EXPECT_EQ(lines_of(std::string(length, 'x') + "\ny\n"), Lines({std::string(length, 'x'), "y"}));
  }
}

TEST(InputLines, AreBounded) {
  InputLines file("/dev/zero");
  std::string line;
  EXPECT_THAT([&] { file.next(line); },
              ThrowsMessage<InputError>("/dev/zero: cannot be read: line 1 is longer than 16 MiB"));
  EXPECT_LE(line.size(), std::size_t{16} << 20);
}

TEST(JsonObject, IsReadOrSaidToBeSomethingElse) {
  const TemporaryFolder folder;
  const std::string path = folder / "file";
  const auto read = [&](const std::string& text) -> std::string {
    std::ofstream(path, std::ios::binary) << text;
    try {
      std::string kept;
      const auto json = read_json_object<nlohmann::ordered_json>(path, 1 << 20, "a table", &kept);
      EXPECT_EQ(kept, text);
      return json.dump();
    } catch (const InputError& error) {
      const std::string_view message = error.what();
      EXPECT_TRUE(message.starts_with(path + ": ") && message.ends_with("; expected a table"));
      return std::string(
          message.substr(path.size() + 2, message.find("; expected") - path.size() - 2));
    }
  };
  EXPECT_EQ(read(" {\"b\": [1], \"a\": {}}"), R"({"b":[1],"a":{}})");
  EXPECT_EQ(read("[1]"), "not a JSON object");
  EXPECT_EQ(read("{\"a\": "), "not a JSON object");
  EXPECT_EQ(read(""), "not a JSON object; it is empty");
  EXPECT_EQ(read("{\"a\": 1e400}"), "has a number beyond those of 64 bits");
  EXPECT_EQ(read("-11117e11111 "), "has a number beyond those of 64 bits");
  EXPECT_EQ(read("GGUF{}"), "not a JSON object; it is a GGUF model");
  EXPECT_EQ(read("{\"a\":" + std::string(64, '[') + std::string(64, ']') + "}"),
            "nested deeper than any such file is");
  // Kept in order, a million members would take hours.
  std::string large = "{";
  for (int i = 0; i < 50'001; ++i) large += fmt::format("{}\"{}\":0", i == 0 ? "" : ",", i);
  EXPECT_EQ(read(large + "}"), "has an object of more members than any such file has");
  const auto sorted = read_json_object<nlohmann::json>(path, 1 << 20, "a table");
  EXPECT_EQ(sorted.size(), 50'001U);
  EXPECT_EQ(parse_json<nlohmann::ordered_json>(R"([{"a":1},{"b":":"}])").size(), 2U);
}

}  // namespace
}  // namespace thaw
