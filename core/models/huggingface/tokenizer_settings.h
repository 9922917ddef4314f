#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>

namespace thaw {

/// The text of a tokenizer_config.json by which AutoTokenizer and pipelines of transformers make
/// the tokens of the tokenizer.json at `path`, whose value is `tokenizer`, for a network of
/// `longest` tokens and of this config.json.
///
/// Begins with the one that lies beside it, which knows more than can be guessed, and which stays
/// to the letter where nothing is missing: the class (any other than that of tokenizer.json as it
/// stands might add tokens of its own), `model_max_length`, at most `longest`; what the
/// family's `usual` settings have; tokens that config.json gives by their ids; and for padding,
/// where nothing says with what, the end token, which masks hide. Throws InputError for such a file
/// that cannot be read.
std::string tokenizer_settings(const std::filesystem::path& path, const nlohmann::json& tokenizer,
                               const nlohmann::ordered_json& config, std::int64_t longest,
                               const nlohmann::ordered_json& usual = {});

}  // namespace thaw
