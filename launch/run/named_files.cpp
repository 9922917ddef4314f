#include "launch/run/named_files.h"

#include <fmt/format.h>

#include <filesystem>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "core/base/error.h"
#include "core/base/text_bytes.h"
#include "core/config/configuration_document.h"

namespace thaw {
namespace {

namespace fs = std::filesystem;

/// The lines that `text` begins with and that are comments.
std::string_view first_comments(std::string_view text) {
  std::size_t end = 0;
  while (end < text.size() && text[end] == '#') {
    const std::size_t line = text.find('\n', end);
    end = line == std::string_view::npos ? text.size() : line + 1;
  }
  return text.substr(0, end);
}

using NamedFiles = std::vector<std::pair<std::string, std::string>>;

/// By the options that name them.
NamedFiles named_files(const Configuration& configuration) {
  NamedFiles files;
  for (const std::string& file : configuration.data.file) files.emplace_back("data.file", file);
  files.emplace_back("model.weights", configuration.model.weights);
  files.emplace_back("model.config", configuration.model.config);
  files.emplace_back("model.tokenizer", configuration.model.tokenizer);
  return files;
}

bool tells_of(std::string_view comments, const fs::path& file) {
  const std::string folder = file.parent_path().string();
  return comments.find(file.string()) != std::string_view::npos ||
         (folder.find('/') != std::string::npos && comments.find(folder) != std::string_view::npos);
}

}  // namespace

void require_described_files(std::string_view text, const ConfigurationDocument& document) {
  const std::string_view comments = first_comments(text);
  if (comments.empty()) return;
  for (const auto& [option, file] : named_files(document.configuration)) {
    const auto given = document.given.find(option);
    if (file.empty() || given == document.given.end() || !given->second.flag.empty()) continue;
    std::error_code error;
    if (fs::status(file, error).type() != fs::file_type::not_found) continue;
    if (file.find_first_of("*?[") != std::string::npos || !tells_of(comments, file)) continue;
    throw InputError(fmt::format(
        "{}: \"{}\": no such file (looked for from {}); the comments at the top of {} say where it "
        "comes from",
        document.where(option), printable(file), fs::current_path(error).string(),
        printable(document.path)));
  }
}

}  // namespace thaw
