#pragma once

#include <cstdint>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

namespace thaw {

struct ModelOptions;

/// Checked fields of a Hugging Face config.json, or of an object inside one.
///
/// A key that is missing and one that is null read alike. Whatever is of another type or out of
/// range throws an InputError that names the file, the key, and what it should be: the file may
/// come from anybody, and sizes in it become memory.
class ConfigFields {
 public:
  /// Largest of any size in the file: far above any real model, and products of two stay in int64.
  static constexpr std::int64_t kLargestSize = 1 << 24;

  /// Reads a file. `kind`: as messages call networks of this kind, "BERT" in "more than any BERT
  /// has". Throws InputError where it is no JSON object.
  ConfigFields(const std::string& path, std::string kind);

  [[noreturn]] void fail(const std::string& key, const std::string& problem) const;

  bool has(const std::string& key) const;
  /// There, and null: where that means something else than a missing key.
  bool is_null(const std::string& key) const;

  /// At least 1.
  std::int64_t size(const std::string& key, std::optional<std::int64_t> fallback = {}) const;
  /// A list of sizes, each at least 1; a number alone is a list of one. Missing: `fallback`.
  std::vector<std::int64_t> sizes(const std::string& key,
                                  const std::vector<std::int64_t>& fallback) const;
  double number(const std::string& key, double fallback, double low, double high) const;
  std::string text(const std::string& key, const std::string& fallback) const;
  /// A list of words; empty where there is none.
  std::vector<std::string> texts(const std::string& key) const;
  /// A token's id in [0, vocabulary), or -1 where the key is null.
  std::int64_t token(const std::string& key, std::int64_t fallback, std::int64_t vocabulary) const;
  bool flag(const std::string& key, bool fallback = false) const;
  /// The object under `key`; one without keys where there is none.
  ConfigFields inside(const std::string& key) const;

  /// Throws unless the first divides by the second: `num_attention_heads` into `hidden_size`.
  void require_divisor(const std::string& key, std::int64_t divisor, const std::string& whole_key,
                       std::int64_t whole) const;
  /// Throws, naming `key`, for more layers, or more parameters in all, than any network has.
  void require_sane(const std::string& layers_key, std::int64_t layers,
                    const std::string& width_key, double parameters) const;

 private:
  ConfigFields() = default;
  const nlohmann::json* find(const std::string& key) const;
  std::int64_t checked_size(const std::string& key, const nlohmann::json& value) const;

  std::string path_;
  std::string within_;  ///< "rope_scaling." in messages about such an object's fields
  std::string kind_;
  std::shared_ptr<const nlohmann::json> object_;
};

/// The config.json that [model] names. Throws InputError where it names none.
const std::string& config_file(const ModelOptions& options);

/// `model_type` of a config.json; "" where it says none. Throws InputError as above.
std::string model_type_of(const std::string& config_path);

}  // namespace thaw
