#include "launch/kept_run/model_files.h"

#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "core/base/error.h"
#include "core/base/whole_file.h"
#include "core/checkpoint/durable_file.h"
#include "core/config/configuration.h"
#include "core/data/dataset.h"
#include "core/data/identity/tokenizer_identity.h"
#include "launch/generate/prompt_tokens.h"

namespace thaw {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kLargest = 1 << 30;
/// What may lie beside a tokenizer.json and belongs to it.
constexpr const char* kBeside[] = {"tokenizer_config.json", "special_tokens_map.json",
                                   "chat_template.jinja", "generation_config.json"};

/// By the places where they are to lie.
using Copies = std::vector<std::pair<fs::path, std::string>>;

void add_copy(const fs::path& from, const fs::path& to, Copies& copies) {
  std::error_code ignored;
  if (!fs::is_regular_file(from, ignored)) return;
  try {
    copies.emplace_back(to, read_small_file(from, kLargest));
  } catch (const InputError&) {
    // It was there and has gone, or is of no use: the run does without.
  }
}

void add_tokenizer(const RunFolder& folder, const ModelOptions& options, const Dataset& dataset,
                   Copies& copies) {
  if (dataset.format().kind != DataKind::kText) return;
  fs::path path;
  try {
    path = find_tokenizer(options);
  } catch (const InputError&) {
    return;
  }
  Copies found;
  add_copy(path, kept_tokenizer(folder), found);
  if (found.empty() ||
      !may_be_one_tokenizer(tokenizer_identity(found.front().second), dataset.tokens())) {
    return;
  }
  for (const char* name : kBeside) {
    add_copy(fs::path(path).replace_filename(name), folder.path() / name, found);
  }
  copies.insert(copies.end(), found.begin(), found.end());
}

}  // namespace

fs::path kept_config(const RunFolder& folder) { return folder.path() / "config.json"; }
fs::path kept_tokenizer(const RunFolder& folder) { return folder.path() / "tokenizer.json"; }

void keep_model_files(const RunFolder& folder, const ModelOptions& options,
                      const Dataset& dataset) {
  Copies copies;
  if (!options.config.empty()) add_copy(options.config, kept_config(folder), copies);
  add_tokenizer(folder, options, dataset, copies);
  for (const auto& [path, text] : copies) {
    std::error_code same;
    if (!fs::exists(path, same) || read_small_file(path, kLargest) != text) {
      write_whole_file(path, text);
    }
  }
}

}  // namespace thaw
