#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

namespace thaw {

struct ModelOptions;

/// Prompts as a tokenizer has them, and what it makes of a model's answers.
struct PromptTokens {
  std::vector<std::vector<std::int64_t>> prompts;  ///< each at least one token
  std::vector<std::int64_t> ends;                  ///< tokens that end a text; may be none
  std::vector<std::string> pieces;              ///< of each token its bytes; special ones have none
  std::string path;                             ///< of the tokenizer
  std::map<std::string, std::string> identity;  ///< of it: Note [Tokenizers by what they do]
};

/// Throws InputError where `known`, what a data file or weights tell of the tokenizer behind their
/// tokens by attribute, is another's than made `tokens`; `whose` names them. Where neither tells,
/// nothing is known.
void check_tokenizer(const PromptTokens& tokens, const std::map<std::string, std::string>& known,
                     const std::string& whose);

/// The tokenizer.json that goes with a model: `model.tokenizer`, else one that lies beside the
/// weights or beside config.json. Throws InputError where there is none.
std::filesystem::path find_tokenizer(const ModelOptions& options);

/// Has launch/tokenize_prompts.py, which lies in the folder thaw-scripts beside this command or
/// where it is installed, make tokens of prompts, as `prepare.py completion` would: with `chat`,
/// as the model's chat template writes them. On one rank, on its main thread (see ChildProcess).
/// Throws InputError for a tokenizer that cannot be read, for prompts of which no tokens come, and
/// where Python or its modules are missing, with what to install or to set.
PromptTokens tokenize_prompts(const std::filesystem::path& tokenizer,
                              const std::vector<std::string>& prompts, bool chat);

}  // namespace thaw
