// A tokenizer.json is known again by what it does, by the sums that prepare.py writes.
#include "core/data/identity/tokenizer_identity.h"

#include <gtest/gtest.h>

#include <string>

namespace thaw {
namespace {

// The sums are Python's: hashlib.sha256, and `_function_of` of launch/preparation/text/tokens.py.

TEST(TokenizerIdentity, Sha256) {
  EXPECT_EQ(sha256(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(sha256("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  const auto of = [](std::size_t length) { return sha256(std::string(length, 'a')); };
  EXPECT_EQ(of(55), "9f4390f8d30c2dd92ec9f095b65e2b9ae9b0a925a5258e241c9f1e910f734318");
  EXPECT_EQ(of(56), "b35439a4ac6f0948b6d6f9e3c6af0f5f590ce20f1bde7090ef7970686ec6738a");
  EXPECT_EQ(of(63), "7d3e74a05d7db15bce4ad9ec0658ea98e3f06eeecf16b4c6fff2da457ddc2f34");
  EXPECT_EQ(of(64), "ffe054fe7ae0cb6dc65c3af9b61d5209f439851db43d0ba5997337df154668eb");
  EXPECT_EQ(of(119), "31eba51c313a5c08226adf18d4a359cfdfd8d2e816b13f4af952f7ea6584dcfb");
  EXPECT_EQ(of(120), "2f3d335432c70b580af0e8e1b3674a7c020d683aa5f73aaaedfdc55af904c21c");
}

constexpr const char* kTokenizer =
    R"({"version": "1.0", "truncation": {"direction": "Left", "max_length": 128}, )"
    R"("padding": null, "model": {"vocab": {"b": 1, "a": 0, "é😀": 2}, "z": [true, false, null, )"
    R"(-3, 0.1, 1.0, 1e-05, 0.0001, 123456789012345680.0, 1e16, 1e15, -2.5, 1e22, 5e-324, )"
    R"(1.7976931348623157e308, -0.0, 100.0, -9.83221435546875, 12345.678]}, )"
    R"("added_tokens": [], "t": "tab\t \"q\" \\ / \u007f \u0001"})";

TEST(TokenizerIdentity, IsWhatDataPreparationWrites) {
  const auto identity = tokenizer_identity(kTokenizer);
  EXPECT_EQ(identity.at("tokenizer_sha256"), sha256(kTokenizer));
  EXPECT_EQ(identity.at("tokenizer_function"),
            "950e713ae8d1a865226239a402d3ba66b986b6bbd833fb034a898683dd25e3a6");
}

TEST(TokenizerIdentity, IsTheSameForAFileThatWasWrittenAgain) {
  const std::string text = R"({"model": {"a": 0.5}, "padding": {"length": 8}, "version": "1.0"})";
  const std::string again = R"({ "model" : {"a": 5e-1}, "truncation": {"max_length": 9} })";
  const auto one = tokenizer_identity(text), other = tokenizer_identity(again);
  EXPECT_NE(one.at("tokenizer_sha256"), other.at("tokenizer_sha256"));
  EXPECT_TRUE(may_be_one_tokenizer(one, other));
  EXPECT_FALSE(may_be_one_tokenizer(one, tokenizer_identity(R"({"model": {"a": 0.25}})")));
  const std::string left = R"({"model": {"a": 0.5}, "truncation": {"direction": "left"}})";
  EXPECT_FALSE(may_be_one_tokenizer(one, tokenizer_identity(left)));
}

TEST(TokenizerIdentity, OfWhatIsNotToldNothingIsClaimed) {
  const auto known = tokenizer_identity("{}");
  EXPECT_TRUE(may_be_one_tokenizer(known, {}));
  EXPECT_TRUE(may_be_one_tokenizer({{"max_tokens", "32"}}, {{"max_tokens", "64"}}));
  // Of files that an earlier version made.
  const auto file = [&](const std::string& text) {
    return std::map<std::string, std::string>{{"tokenizer_sha256", sha256(text)}};
  };
  EXPECT_TRUE(may_be_one_tokenizer(known, file("{}")));
  EXPECT_FALSE(may_be_one_tokenizer(known, file("{} ")));
  EXPECT_EQ(tokenizer_identity("no JSON").size(), 1U);
  EXPECT_EQ(tokenizer_identity(std::string(100, '[')).size(), 1U);
}

}  // namespace
}  // namespace thaw
