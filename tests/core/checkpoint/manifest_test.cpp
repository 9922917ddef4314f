#include "core/checkpoint/manifest.h"

#include <gtest/gtest.h>

#include "core/base/error.h"

namespace thaw {
namespace {

Manifest sample() {
  Manifest manifest;
  manifest.place = {500, true};
  manifest.epoch = 1.0 / 3;
  manifest.stage = "up\"per";
  manifest.evaluation_loss = 0.1;
  manifest.ranks = 2;
  manifest.written = "2026-01-01T00:00:00Z";
  manifest.version = "0.1.0";
  for (const std::string& name : expected_files(2)) {
    manifest.files.push_back({name, 17, std::string(32, 'a')});
  }
  return manifest;
}

void expect_refused(const std::string& text, const std::string& what) {
  try {
    parse_manifest(text, "m");
    ADD_FAILURE() << "accepted: " << text;
  } catch (const InputError& error) {
    EXPECT_TRUE(std::string(error.what()).starts_with("m: ")) << error.what();
    EXPECT_NE(std::string(error.what()).find(what), std::string::npos) << error.what();
  }
}

TEST(ManifestTest, ReadsBackWhatItWrote) {
  const Manifest manifest = sample();
  EXPECT_EQ(parse_manifest(manifest_text(manifest), "m"), manifest);
  Manifest plain = manifest;
  plain.evaluation_loss.reset();
  EXPECT_EQ(parse_manifest(manifest_text(plain), "m"), plain);
}

TEST(ManifestTest, AnyOtherByteIsNoticed) {
  const std::string text = manifest_text(sample());
  for (std::size_t i = 0; i < text.size(); ++i) {
    for (const int flip : {1, 32, 128}) {
      std::string damaged = text;
      damaged[i] = static_cast<char>(damaged[i] ^ flip);
      expect_refused(damaged, "");
    }
    expect_refused(text.substr(0, i), "");
  }
  expect_refused(text + " ", "checksum");
}

TEST(ManifestTest, FilesThatAreNotACheckpointsAreRefused) {
  Manifest manifest = sample();
  manifest.files[2].name = "../../etc/passwd";
  expect_refused(manifest_text(manifest), "another file");
  manifest = sample();
  manifest.files.pop_back();
  expect_refused(manifest_text(manifest), "3 files for 2 ranks");
  manifest = sample();
  manifest.ranks = 2'000'000'000;  // takes no memory for so many names
  expect_refused(manifest_text(manifest), "ranks");
}

// Converting such a number was undefined behaviour (found by tests/fuzz).
TEST(ManifestTest, NumbersThatAreNotWholeAreRefused) {
  const std::string text = manifest_text(sample());
  for (const auto& [key, value] : {std::pair("step", "500"), std::pair("ranks", "2"),
                                   std::pair("bytes", "17"), std::pair("version", "1")}) {
    const std::string entry = "\"" + std::string(key) + "\": ";
    const std::size_t place = text.find(entry + value);
    ASSERT_NE(place, std::string::npos) << key;
    for (const char* other : {"5e105", "1.5", "\"2\""}) {
      std::string forged = text;
      forged.replace(place + entry.size(), std::string(value).size(), other);
      expect_refused(forged, std::string(key) + " is no whole number");
    }
  }
}

TEST(ManifestTest, AnotherFormatIsNamed) {
  std::string text = manifest_text(sample());
  text.replace(text.find("\"version\": 1"), 12, "\"version\": 2");
  expect_refused(text, "format 2");
  expect_refused("[]", "not a checkpoint's manifest");
  expect_refused("", "damaged");
}

}  // namespace
}  // namespace thaw
