#include "core/models/decoder/rotary_config.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cmath>
#include <utility>
#include <vector>

#include "core/models/huggingface/config_fields.h"

namespace thaw {
namespace {

using Kind = RotaryConfig::Kind;

constexpr double kLargestNumber = 1e9;

const std::vector<std::pair<std::string, Kind>>& kinds() {
  static const std::vector<std::pair<std::string, Kind>> all = {{"default", Kind::kDefault},
                                                                {"linear", Kind::kLinear},
                                                                {"llama3", Kind::kLlama3},
                                                                {"yarn", Kind::kYarn}};
  return all;
}

/// `rope_type`, or `type` in older files.
Kind kind_of(const ConfigFields& fields) {
  const char* key = fields.has("rope_type") ? "rope_type" : "type";
  const std::string name = fields.text(key, "default");
  std::vector<std::string> names;
  for (const auto& [known, kind] : kinds()) {
    if (known == name) return kind;
    names.push_back(known);
  }
  fields.fail(key, fmt::format("is \"{}\"; Thaw has {}", name, fmt::join(names, ", ")));
}

double required(const ConfigFields& fields, const std::string& key, double low, double high) {
  if (!fields.has(key)) fields.fail(key, "is missing");
  return fields.number(key, 0, low, high);
}

void read_llama3(const ConfigFields& fields, RotaryConfig& config) {
  config.original_longest = required(fields, "original_max_position_embeddings", 1, kLargestNumber);
  config.low_frequency_factor = required(fields, "low_freq_factor", 1e-6, kLargestNumber);
  config.high_frequency_factor = required(fields, "high_freq_factor", 1e-6, kLargestNumber);
  if (config.high_frequency_factor <= config.low_frequency_factor) {
    fields.fail("high_freq_factor",
                fmt::format("is {}, which must be more than low_freq_factor, {}",
                            config.high_frequency_factor, config.low_frequency_factor));
  }
}

/// By how much longer vectors are made for a context so many times as long.
double magnitude(double factor, double strength) {
  return factor <= 1 ? 1 : 0.1 * strength * std::log(factor) + 1;
}

void read_yarn(const ConfigFields& fields, RotaryConfig& config) {
  // A fast and a slow beta of 0, and scales of 0, count as not given, as in transformers.
  const auto or_else = [](double value, double otherwise) {
    return value != 0 ? value : otherwise;
  };
  config.beta_fast = or_else(fields.number("beta_fast", 0, 0, kLargestNumber), 32);
  config.beta_slow = or_else(fields.number("beta_slow", 0, 0, kLargestNumber), 1);
  config.truncate = fields.flag("truncate", true);
  const double all = fields.number("mscale", 0, 0, kLargestNumber);
  const double of_all = fields.number("mscale_all_dim", 0, 0, kLargestNumber);
  const double usual = all != 0 && of_all != 0
                           ? magnitude(config.factor, all) / magnitude(config.factor, of_all)
                           : magnitude(config.factor, 1);
  config.vector_scale = fields.number("attention_factor", usual, 1e-6, kLargestNumber);
}

}  // namespace

RotaryConfig read_rotary_config(const ConfigFields& fields, std::int64_t longest) {
  const bool newer = fields.has("rope_parameters");
  const ConfigFields inner = fields.inside(newer ? "rope_parameters" : "rope_scaling");
  RotaryConfig config;
  config.theta = fields.number("rope_theta", config.theta, 1 + 1e-6, 1e15);
  if (newer) {
    for (const char* key : {"full_attention", "sliding_attention"}) {
      if (inner.has(key)) inner.fail(key, "stands for layers of one kind; Thaw has one rotation");
    }
    config.theta = inner.number("rope_theta", config.theta, 1 + 1e-6, 1e15);
  }
  for (const ConfigFields* each : {&fields, &inner}) {
    if (each->number("partial_rotary_factor", 1, 0, 1) != 1) {
      each->fail("partial_rotary_factor", "is not 1; Thaw rotates whole heads");
    }
  }
  config.kind = kind_of(inner);
  if (config.kind == Kind::kDefault) return config;
  config.original_longest = inner.number("original_max_position_embeddings",
                                         static_cast<double>(longest), 1, kLargestNumber);
  const bool derived = config.kind == Kind::kYarn && !inner.has("factor") &&
                       inner.has("original_max_position_embeddings");
  config.factor = derived ? static_cast<double>(longest) / config.original_longest
                          : required(inner, "factor", 1e-6, kLargestNumber);
  if (config.kind == Kind::kLlama3) read_llama3(inner, config);
  if (config.kind == Kind::kYarn) read_yarn(inner, config);
  return config;
}

std::map<std::string, std::string> function_of(const RotaryConfig& config) {
  const auto text = [](double value) { return fmt::format("{}", value); };
  std::map<std::string, std::string> result = {{"rope_theta", text(config.theta)}};
  for (const auto& [name, kind] : kinds()) {
    if (kind == config.kind) result["rope_type"] = name;
  }
  if (config.kind == Kind::kDefault) return result;
  result["rope_factor"] = text(config.factor);
  if (config.kind == Kind::kLinear) return result;
  result["rope_original_max_position_embeddings"] = text(config.original_longest);
  if (config.kind == Kind::kLlama3) {
    result["rope_low_freq_factor"] = text(config.low_frequency_factor);
    result["rope_high_freq_factor"] = text(config.high_frequency_factor);
  } else {
    result["rope_beta_fast"] = text(config.beta_fast);
    result["rope_beta_slow"] = text(config.beta_slow);
    result["rope_truncate"] = config.truncate ? "true" : "false";
    result["rope_attention_factor"] = text(config.vector_scale);
  }
  return result;
}

}  // namespace thaw
