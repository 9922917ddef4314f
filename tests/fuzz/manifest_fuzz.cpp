// A checkpoint's manifest: the input as it is; and as somebody would forge it, with the checksum
// that belongs to it, which no other input finds.

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "core/base/error.h"
#include "core/base/hash.h"
#include "core/checkpoint/manifest.h"

namespace {

using Json = nlohmann::ordered_json;

void require(bool condition) {
  if (!condition) std::abort();
}

/// What is taken for a manifest is what it would be written as.
void check(const std::string& text) {
  const std::string path = "m.json";
  try {
    const thaw::Manifest manifest = thaw::parse_manifest(text, path);
    require(thaw::manifest_text(manifest) == text);
    require(manifest.ranks >= 1 && manifest.place.step >= 0);
    require(manifest.files.size() == static_cast<std::size_t>(manifest.ranks) + 2);
    for (const thaw::FileRecord& file : manifest.files) {
      require(file.name.find('/') == std::string::npos);
    }
  } catch (const thaw::InputError& error) {
    require(std::string_view(error.what()).starts_with(path));
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  check(text);
  Json json = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) return 0;
  try {
    json.erase("checksum");
    json["checksum"] = thaw::fingerprint(json.dump()).hex();
    check(json.dump(1) + "\n");
  } catch (const nlohmann::json::exception&) {  // text that is no UTF-8 cannot be written
  }
  return 0;
}
