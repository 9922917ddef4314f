#include "launch/generate/prompt_tokens.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <utility>

#include "core/base/error.h"
#include "core/base/json_fields.h"
#include "core/base/json_text.h"
#include "core/base/text_bytes.h"
#include "core/config/configuration.h"
#include "core/data/identity/tokenizer_identity.h"
#include "launch/job/python_script.h"

namespace thaw {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

constexpr const char* kScript = "tokenize_prompts.py";

std::string bytes_of_hex(const std::string& hex) {
  std::string bytes;
  for (std::size_t i = 0; i + 1 < hex.size(); i += 2) {
    bytes += static_cast<char>(std::stoi(hex.substr(i, 2), nullptr, 16));
  }
  return bytes;
}

}  // namespace

fs::path find_tokenizer(const ModelOptions& options) {
  if (!options.tokenizer.empty()) return options.tokenizer;
  std::error_code error;
  std::string looked;
  for (const std::string& file : {options.weights, options.config}) {
    if (file.empty()) continue;
    const fs::path folder =
        fs::is_directory(file, error) ? fs::path(file) : fs::path(file).parent_path();
    if (fs::exists(folder / "tokenizer.json", error)) return folder / "tokenizer.json";
    looked += fmt::format("{}{}", looked.empty() ? "" : ", ", (folder / "tokenizer.json").string());
  }
  throw InputError(fmt::format(
      "model.tokenizer: names no tokenizer.json, which tells what text tokens stand for{}",
      looked.empty() ? "" : fmt::format(" (and there is no {})", looked)));
}

void check_tokenizer(const PromptTokens& tokens, const std::map<std::string, std::string>& known,
                     const std::string& whose) {
  if (may_be_one_tokenizer(tokens.identity, known)) return;
  throw InputError(fmt::format("{}: is another tokenizer than that of {}", tokens.path, whose));
}

PromptTokens tokenize_prompts(const fs::path& tokenizer, const std::vector<std::string>& prompts,
                              bool chat) {
  std::vector<std::string> arguments = {tokenizer.string()};
  if (chat) arguments.emplace_back("--chat");
  for (const std::string& prompt : prompts) {
    if (!is_utf8(prompt)) {
      throw InputError(fmt::format("a prompt is not UTF-8: \"{}\"", printable(prompt)));
    }
  }
  const std::string text = run_script(
      {.script = kScript,
       .arguments = arguments,
       .input = json_text(Json(prompts)),
       .advice = "prompts are made tokens of by Python 3.10 or newer with the module tokenizers: "
                 "install it, or have THAW_PYTHON in the environment name one that has it"});
  PromptTokens tokens;
  tokens.path = tokenizer.string();
  try {
    const Json json = Json::parse(text);
    tokens.identity = json.at("identity").get<std::map<std::string, std::string>>();
    tokens.prompts = whole_number<std::vector<std::vector<std::int64_t>>>(json.at("prompts"));
    tokens.ends = whole_number<std::vector<std::int64_t>>(json.at("ends"));
    for (const Json& piece : json.at("pieces")) {
      tokens.pieces.push_back(bytes_of_hex(piece.get<std::string>()));
    }
  } catch (const std::exception& error) {
    throw RunError(fmt::format("{}: {}", kScript, error.what()));
  }
  if (tokens.prompts.size() != prompts.size()) {
    throw RunError(fmt::format("{}: {} of {} prompts came back", kScript, tokens.prompts.size(),
                               prompts.size()));
  }
  return tokens;
}

}  // namespace thaw
