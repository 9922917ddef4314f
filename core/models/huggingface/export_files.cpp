#include "core/models/huggingface/export_files.h"

#include <fmt/format.h>

#include <cstdint>
#include <system_error>

#include "core/base/error.h"
#include "core/base/json_text.h"
#include "core/base/text_bytes.h"
#include "core/config/configuration.h"
#include "core/data/identity/tokenizer_identity.h"
#include "core/models/weights/model_description.h"

namespace thaw {

namespace fs = std::filesystem;

namespace {

constexpr std::int64_t kLargest = 256 << 20;

}  // namespace

JsonFile read_json_file(const fs::path& path) {
  JsonFile result;
  result.value = read_json_object<nlohmann::ordered_json>(
      path.string(), kLargest, "a " + path.filename().string(), &result.text);
  return result;
}

TokenizerFile read_tokenizer(const fs::path& path, const ModelDescription& trained) {
  TokenizerFile result;
  result.value =
      read_json_object<nlohmann::json>(path.string(), kLargest, "a tokenizer.json", &result.text);
  if (!may_be_one_tokenizer(tokenizer_identity(result.text), trained.tokens)) {
    const auto name = trained.tokens.find("tokenizer");
    throw InputError(fmt::format(
        "{}: is another tokenizer than the one that these weights were trained with{}, so that "
        "their words would mean something else; name that one (--model.tokenizer)",
        path.string(),
        name == trained.tokens.end() ? "" : fmt::format(" ({})", printable(name->second))));
  }
  return result;
}

fs::path tokenizer_of(const ModelOptions& options) {
  if (!options.tokenizer.empty()) return options.tokenizer;
  const fs::path beside = fs::path(options.config).replace_filename(kTokenizerFile);
  return fs::exists(beside) ? beside : fs::path();
}

void prepare_export_folder(const fs::path& folder, const std::vector<std::string>& names) {
  std::error_code error;
  fs::create_directories(folder, error);
  if (!fs::is_directory(folder)) {
    throw InputError(fmt::format("{}: cannot make this folder{}", folder.string(),
                                 error ? ": " + error.message() : std::string()));
  }
  for (const std::string& name : names) {
    if (fs::exists(folder / name)) {
      throw InputError(fmt::format("{}: holds a {} already; name another folder, or remove it",
                                   folder.string(), name));
    }
  }
}

}  // namespace thaw
