#include "core/checkpoint/manifest.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "core/base/error.h"
#include "core/base/hash.h"

namespace thaw {
namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kFormat = "thaw checkpoint";
constexpr int kVersion = 1;
constexpr int kMostRanks = 1 << 20;

Json body(const Manifest& manifest) {
  Json files = Json::array();
  for (const FileRecord& file : manifest.files) {
    files.push_back({{"name", file.name}, {"bytes", file.bytes}, {"checksum", file.checksum}});
  }
  Json json{{"format", kFormat},           {"version", kVersion},
            {"step", manifest.place.step}, {"transition", manifest.place.transition},
            {"epoch", manifest.epoch},     {"stage", manifest.stage}};
  if (manifest.evaluation_loss) json["evaluation_loss"] = *manifest.evaluation_loss;
  json["ranks"] = manifest.ranks;
  json["written"] = manifest.written;
  json["thaw"] = manifest.version;
  json["files"] = std::move(files);
  return json;
}

[[noreturn]] void fail(const std::string& path, const std::string& what) {
  throw InputError(fmt::format("{}: {}", path, what));
}

/// Of a number with a fraction or an exponent, nlohmann's conversion would be undefined behaviour.
template <class Integer>
Integer integer(const Json& json, const char* key, const std::string& path) {
  const Json& value = json.at(key);
  if (!value.is_number_integer()) fail(path, fmt::format("damaged: {} is no whole number", key));
  return value.get<Integer>();
}

Manifest read_body(const Json& json, const std::string& path) {
  Manifest manifest;
  manifest.place.step = integer<std::int64_t>(json, "step", path);
  manifest.place.transition = json.at("transition").get<bool>();
  manifest.epoch = json.at("epoch").get<double>();
  manifest.stage = json.at("stage").get<std::string>();
  if (json.contains("evaluation_loss")) {
    manifest.evaluation_loss = json.at("evaluation_loss").get<double>();
  }
  manifest.ranks = integer<int>(json, "ranks", path);
  manifest.written = json.at("written").get<std::string>();
  manifest.version = json.at("thaw").get<std::string>();
  for (const Json& file : json.at("files")) {
    manifest.files.push_back({file.at("name").get<std::string>(),
                              integer<std::uint64_t>(file, "bytes", path),
                              file.at("checksum").get<std::string>()});
  }
  return manifest;
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

std::vector<std::string> expected_files(int ranks) {
  std::vector<std::string> names = {kStateFile, kConfigurationFile};
  for (int rank = 0; rank < ranks; ++rank) names.push_back(shard_file(rank, ranks));
  return names;
}

std::string manifest_text(const Manifest& manifest) {
  Json json = body(manifest);
  json["checksum"] = fingerprint(json.dump()).hex();
  return json.dump(1) + "\n";
}

Manifest parse_manifest(const std::string& text, const std::string& path) {
  Manifest manifest;
  try {
    const Json json = Json::parse(text);
    if (!json.is_object() || json.value("format", "") != kFormat) {
      fail(path, "not a checkpoint's manifest");
    }
    if (const auto version = integer<std::int64_t>(json, "version", path); version != kVersion) {
      fail(path, fmt::format("written in format {}; this version of thaw reads format {}", version,
                             kVersion));
    }
    manifest = read_body(json, path);
  } catch (const nlohmann::json::exception&) {
    fail(path, "damaged: not a manifest's JSON");
  }
  // Rendered again: any byte that is not as it was written shows, white space too.
  if (manifest_text(manifest) != text) fail(path, "damaged: its checksum does not match");
  check_files(manifest, path);
  return manifest;
}

}  // namespace thaw
