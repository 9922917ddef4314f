#include "launch/starter/starter.h"

#include <fmt/format.h>

#include <map>
#include <sstream>
#include <string_view>

#include "core/base/error.h"

namespace thaw {
namespace {

constexpr std::string_view kIfModel = "@model?";
constexpr std::string_view kIfNone = "@no-model?";

std::string filled_line(const std::string& line, const std::map<std::string, std::string>& words) {
  std::string result;
  std::size_t begin = 0;
  for (std::size_t at = line.find('@'); at != std::string::npos; at = line.find('@', begin)) {
    const std::size_t end = line.find('@', at + 1);
    if (end == std::string::npos) break;
    const std::string word = line.substr(at + 1, end - at - 1);
    const auto found = words.find(word);
    if (found == words.end()) throw RunError(fmt::format("a starter names \"@{}@\"", word));
    result += line.substr(begin, at - begin) + found->second;
    begin = end + 1;
  }
  return result + line.substr(begin);
}

}  // namespace

std::vector<Starter> starters() { return {text_starter(), images_starter(), language_starter()}; }

std::string filled(const std::string& text, const StarterFacts& facts) {
  const std::map<std::string, std::string> words = {
      {"thaw", facts.thaw},
      {"prepare", facts.prepare},
      {"model", facts.model.empty() ? "model" : facts.model},
      {"data", facts.data},
      {"text", facts.text_column},
      {"label", facts.label_column}};
  std::string result;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with(kIfModel)) {
      if (facts.model.empty()) continue;
      line.erase(0, kIfModel.size());
    } else if (line.starts_with(kIfNone)) {
      if (!facts.model.empty()) continue;
      line.erase(0, kIfNone.size());
    }
    result += filled_line(line, words) + "\n";
  }
  return result;
}

}  // namespace thaw
