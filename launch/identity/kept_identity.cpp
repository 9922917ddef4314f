#include "launch/identity/kept_identity.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/base/error.h"
#include "core/base/hash.h"
#include "core/base/json_fields.h"
#include "core/base/json_text.h"
#include "core/base/text_bytes.h"
#include "core/checkpoint/durable_file.h"

namespace thaw {
namespace {

constexpr std::uint64_t kLongestIdentity = 64 << 20;
constexpr int kFormat = 1;

void describe(auto fields, Described<SampleSource> auto& source) {
  fields("file", source.file);
  fields("array", source.array);
  fields("device", source.stamp.device);
  fields("inode", source.stamp.inode);
  fields("size", source.stamp.size);
  fields("modified_ns", source.stamp.modified);
  fields("changed_ns", source.stamp.changed);
}

void describe(auto fields, Described<KeptSplit> auto& split) {
  fields("host", split.host);
  fields("split", split.split);
  fields("layout", split.layout);
  fields("sources", split.sources);
  fields("content", split.content);
}

/// Of the body of the file, which is read back as it was written.
std::string checksum_of(const nlohmann::ordered_json& body) {
  return fingerprint(json_text(body)).hex();
}

}  // namespace

// Found by the library, and by nobody else.
void to_json(nlohmann::ordered_json& json, const SampleSource& source);
void from_json(const nlohmann::ordered_json& json, SampleSource& source);
void to_json(nlohmann::ordered_json& json, const KeptSplit& split);
void from_json(const nlohmann::ordered_json& json, KeptSplit& split);

THAW_JSON_BY_DESCRIPTION(SampleSource)
THAW_JSON_BY_DESCRIPTION(KeptSplit)

bool KeptSplit::stands_for(const KeptSplit& now) const {
  const auto same = [](const SampleSource& one, const SampleSource& other) {
    return one.array == other.array && one.stamp == other.stamp;
  };
  return host == now.host && split == now.split && layout == now.layout &&
         std::equal(sources.begin(), sources.end(), now.sources.begin(), now.sources.end(), same);
}

std::string to_json(const KeptIdentity& identity) {
  nlohmann::ordered_json body = {{"facts", identity.facts}, {"splits", identity.splits}};
  // As it will be read: text that is no UTF-8 is stored as other bytes.
  body = nlohmann::ordered_json::parse(json_text(body));
  const nlohmann::ordered_json all = {
      {"thaw_identity", kFormat}, {"checksum", checksum_of(body)}, {"body", body}};
  return json_text(all, 1) + "\n";
}

KeptIdentity kept_identity_from_json(const std::string& text, const std::string& path) {
  const auto refuse = [&](const std::string& why) {
    return InputError(fmt::format("{}: {}", path, why));
  };
  if (json_is_deeper(text)) throw refuse("is no identity of a run");
  try {
    const auto json = nlohmann::ordered_json::parse(text);
    if (json.at("thaw_identity") != kFormat) throw refuse("was written by another version");
    const nlohmann::ordered_json& body = json.at("body");
    if (json.at("checksum") != checksum_of(body)) throw refuse("is damaged");
    KeptIdentity identity;
    identity.facts = body.at("facts").get<std::map<std::string, std::string>>();
    identity.splits = body.at("splits").get<std::vector<KeptSplit>>();
    return identity;
  } catch (const nlohmann::json::exception&) {
    throw refuse("is no identity of a run");
  }
}

KeptIdentity read_kept_identity(const std::filesystem::path& path) {
  std::error_code error;
  if (!std::filesystem::exists(path, error)) return {};
  try {
    return kept_identity_from_json(read_small_file(path, kLongestIdentity), path.string());
  } catch (const InputError& refusal) {
    fmt::print(stderr, "thaw: warning: {}; all data is read anew\n", printable(refusal.what()));
    return {};
  }
}

}  // namespace thaw
