#include "core/checkpoint/manifest.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "core/base/error.h"
#include "core/base/hash.h"
#include "core/base/json_fields.h"
#include "core/base/json_text.h"

namespace thaw {
namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kFormat = "thaw checkpoint";
constexpr int kVersion = 1;
constexpr int kMostRanks = 1 << 20;

void describe(auto fields, Described<FileRecord> auto& file) {
  fields("name", file.name);
  fields("bytes", file.bytes);
  fields("checksum", file.checksum);
}

void describe(auto fields, Described<Manifest> auto& manifest) {
  fields("step", manifest.place.step);
  fields("transition", manifest.place.transition);
  fields("epoch", manifest.epoch);
  fields("stage", manifest.stage);
  fields.if_any("evaluation_loss", manifest.evaluation_loss);
  fields("ranks", manifest.ranks);
  fields("written", manifest.written);
  fields("thaw", manifest.version);
  fields("files", manifest.files);
}

[[noreturn]] void fail(const std::string& path, const std::string& what) {
  throw InputError(fmt::format("{}: {}", path, what));
}

Manifest read(const Json& json, const std::string& path) {
  try {
    std::int64_t version = 0;
    JsonReader fields(json);
    fields("version", version);
    if (version != kVersion) {
      throw InputError(fmt::format("written in format {}; this version of thaw reads format {}",
                                   version, kVersion));
    }
    return json.get<Manifest>();
  } catch (const InputError& error) {
    fail(path, error.what());
  }
}

void check_files(const Manifest& manifest, const std::string& path) {
  if (manifest.ranks < 1 || manifest.ranks > kMostRanks || manifest.place.step < 0) {
    fail(path, fmt::format("{} ranks at step {}", manifest.ranks, manifest.place.step));
  }
  // Counted before the names are made: a hostile number of ranks costs nothing.
  if (manifest.files.size() != static_cast<std::size_t>(manifest.ranks) + 2) {
    fail(path, fmt::format("lists {} files for {} ranks", manifest.files.size(), manifest.ranks));
  }
  const std::vector<std::string> names = expected_files(manifest.ranks);
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (manifest.files[i].name != names[i]) {
      fail(path, fmt::format("lists another file where {} must be", names[i]));
    }
  }
}

}  // namespace

THAW_JSON_BY_DESCRIPTION(FileRecord)
THAW_JSON_BY_DESCRIPTION(Manifest)

std::vector<std::string> expected_files(int ranks) {
  std::vector<std::string> names = {kStateFile, kConfigurationFile};
  for (int rank = 0; rank < ranks; ++rank) names.push_back(shard_file(rank, ranks));
  return names;
}

std::string manifest_text(const Manifest& manifest) {
  Json json{{"format", kFormat}, {"version", kVersion}};
  json.update(Json(manifest));
  json["checksum"] = fingerprint(json_text(json)).hex();
  return json_text(json, 1) + "\n";
}

Manifest parse_manifest(const std::string& text, const std::string& path) {
  Manifest manifest;
  try {
    const Json json = Json::parse(text);
    if (!json.is_object() || json.value("format", "") != kFormat) {
      fail(path, "not a checkpoint's manifest");
    }
    manifest = read(json, path);
  } catch (const nlohmann::json::exception&) {
    fail(path, "damaged: not a manifest's JSON");
  }
  // Rendered again: any byte that is not as it was written shows, white space too.
  if (manifest_text(manifest) != text) fail(path, "damaged: its checksum does not match");
  check_files(manifest, path);
  return manifest;
}

}  // namespace thaw
