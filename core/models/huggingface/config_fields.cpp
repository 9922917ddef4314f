#include "core/models/huggingface/config_fields.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "core/base/error.h"
#include "core/base/json_fields.h"
#include "core/base/json_text.h"
#include "core/config/configuration.h"

namespace thaw {

using nlohmann::json;

namespace {

/// Of all parameters together.
constexpr double kMostParameters = 1e11;
constexpr std::int64_t kMostLayers = 10000;

json read_object(const std::string& path) {
  constexpr std::int64_t kLongest = 16 << 20;  // with many classes, id2label is long
  try {
    return read_json_object<json>(path, kLongest, "Hugging Face's config.json");
  } catch (const InputError& error) {
    throw InputError(
        fmt::format("{}; model.config should name the config.json that lies beside "
                    "the weights",
                    error.what()));
  }
}

}  // namespace

ConfigFields::ConfigFields(const std::string& path, std::string kind)
    : path_(path),
      kind_(std::move(kind)),
      object_(std::make_shared<const json>(read_object(path))) {}

void ConfigFields::fail(const std::string& key, const std::string& problem) const {
  throw InputError(fmt::format("{}: \"{}{}\" {}", path_, within_, key, problem));
}

const json* ConfigFields::find(const std::string& key) const {
  const auto found = object_->find(key);
  return found == object_->end() || found->is_null() ? nullptr : &*found;
}

bool ConfigFields::has(const std::string& key) const { return find(key) != nullptr; }

bool ConfigFields::is_null(const std::string& key) const {
  return object_->contains(key) && object_->at(key).is_null();
}

std::int64_t ConfigFields::size(const std::string& key,
                                std::optional<std::int64_t> fallback) const {
  const json* value = find(key);
  if (value == nullptr) {
    if (!fallback) fail(key, "is missing");
    return *fallback;
  }
  return checked_size(key, *value);
}

std::vector<std::int64_t> ConfigFields::sizes(const std::string& key,
                                              const std::vector<std::int64_t>& fallback) const {
  const json* value = find(key);
  if (value == nullptr) {
    return fallback;
  }
  std::vector<std::int64_t> result;
  for (const json& each : value->is_array() ? *value : json::array({*value})) {
    result.push_back(checked_size(key, each));
  }
  return result;
}

std::int64_t ConfigFields::checked_size(const std::string& key, const json& value) const {
  if (!value.is_number_integer()) {
    fail(key, fmt::format("must be an integer, not {}", value.dump()));
  }
  const auto number = whole_if_any<std::int64_t>(value);  // none: above int64
  if (!number || *number > kLargestSize) {
    fail(key, fmt::format("is {}, more than any {} has", value.dump(), kind_));
  }
  if (*number < 1) {
    fail(key, fmt::format("must be positive, not {}", *number));
  }
  return *number;
}

double ConfigFields::number(const std::string& key, double fallback, double low,
                            double high) const {
  const json* value = find(key);
  if (value == nullptr) {
    return fallback;
  }
  if (!value->is_number()) {
    fail(key, fmt::format("must be a number, not {}", value->dump()));
  }
  const auto number = value->get<double>();
  if (!(number >= low && number <= high)) {
    fail(key, fmt::format("must lie in [{}, {}], not be {}", low, high, number));
  }
  return number;
}

std::string ConfigFields::text(const std::string& key, const std::string& fallback) const {
  const json* value = find(key);
  if (value == nullptr) {
    return fallback;
  }
  if (!value->is_string()) {
    fail(key, fmt::format("must be a string, not {}", value->dump()));
  }
  return value->get<std::string>();
}

std::vector<std::string> ConfigFields::texts(const std::string& key) const {
  const json* value = find(key);
  std::vector<std::string> result;
  if (value == nullptr) {
    return result;
  }
  for (const json& each : value->is_array() ? *value : json::array({*value})) {
    if (!value->is_array() || !each.is_string()) {
      fail(key, "must be a list of strings");
    }
    result.push_back(each.get<std::string>());
  }
  return result;
}

std::int64_t ConfigFields::token(const std::string& key, std::int64_t fallback,
                                 std::int64_t vocabulary) const {
  if (is_null(key)) {
    return -1;
  }
  const json* value = find(key);
  if (value == nullptr) {
    return fallback;
  }
  const auto number = whole_if_any<std::int64_t>(*value);
  if (!number || *number < 0 || *number >= vocabulary) {
    fail(key, fmt::format("must be a token of the vocabulary or null, not {}", value->dump()));
  }
  return *number;
}

bool ConfigFields::flag(const std::string& key, bool fallback) const {
  const json* value = find(key);
  if (value == nullptr) {
    return fallback;
  }
  if (!value->is_boolean()) {
    fail(key, fmt::format("must be true or false, not {}", value->dump()));
  }
  return value->get<bool>();
}

ConfigFields ConfigFields::inside(const std::string& key) const {
  const json* value = find(key);
  if (value != nullptr && !value->is_object()) {
    fail(key, "must be an object");
  }
  ConfigFields fields;
  fields.path_ = path_;
  fields.within_ = within_ + key + ".";
  fields.kind_ = kind_;
  fields.object_ = std::make_shared<const json>(value == nullptr ? json::object() : *value);
  return fields;
}

void ConfigFields::require_divisor(const std::string& key, std::int64_t divisor,
                                   const std::string& whole_key, std::int64_t whole) const {
  if (whole % divisor != 0) {
    fail(key, fmt::format("is {}, which does not divide {}, {}", divisor, whole_key, whole));
  }
}

void ConfigFields::require_sane(const std::string& layers_key, std::int64_t layers,
                                const std::string& width_key, double parameters) const {
  if (layers > kMostLayers) {
    fail(layers_key, fmt::format("is {}, more than any {} has", layers, kind_));
  }
  if (parameters > kMostParameters) {
    fail(width_key, fmt::format("and the other sizes make {:.0f} parameters, more than any {} has",
                                parameters, kind_));
  }
}

const std::string& config_file(const ModelOptions& options) {
  if (options.config.empty()) {
    throw InputError("model.config: name the config.json that lies beside the weights");
  }
  return options.config;
}

std::string model_type_of(const std::string& config_path) {
  return ConfigFields(config_path, "network").text("model_type", "");
}

}  // namespace thaw
