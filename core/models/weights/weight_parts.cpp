#include "core/models/weights/weight_parts.h"

#include <fmt/format.h>

#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <system_error>

#include "core/base/error.h"
#include "core/base/json_text.h"
#include "core/base/text_bytes.h"

namespace thaw {
namespace {

namespace fs = std::filesystem;

constexpr const char* kFile = "model.safetensors";
constexpr const char* kIndex = "model.safetensors.index.json";
constexpr std::int64_t kLargestIndex = 256 << 20;
/// Each is mapped, of which the system allows some ten thousands.
constexpr std::size_t kMostParts = 10000;

std::string in_folder(const fs::path& folder) {
  std::error_code ignored;
  for (const char* name : {kFile, kIndex}) {
    if (fs::exists(folder / name, ignored)) return (folder / name).string();
  }
  throw InputError(fmt::format("{}: this folder holds neither {} nor {}; name the weights' file",
                               folder.string(), kFile, kIndex));
}

/// The file's `weight_map`: a tensor's name to a file's.
nlohmann::json read_map(const std::string& path) {
  nlohmann::json index = read_json_object<nlohmann::json>(
      path, kLargestIndex, "the index of weights in several parts, or a safetensors file");
  if (!index.contains("weight_map") || !index["weight_map"].is_object() ||
      index["weight_map"].empty()) {
    throw InputError(fmt::format(
        "{}: is no index of weights in several parts: it has no \"weight_map\"; name a safetensors "
        "file, its index, or the folder that holds either",
        path));
  }
  return index["weight_map"];
}

WeightParts parts_of_index(const std::string& path) {
  WeightParts parts;
  std::unordered_map<std::string, std::size_t> numbers;
  const nlohmann::json map = read_map(path);
  for (const auto& [tensor, file] : map.items()) {
    const std::string name = file.is_string() ? file.get<std::string>() : "";
    const bool beside = !name.empty() && name != "." && name != ".." &&
                        name.find_first_of(std::string_view("/\0", 2)) == std::string::npos;
    if (!beside) {
      throw InputError(
          fmt::format("{}: tensor \"{}\" must be in a file beside it", path, printable(tensor)));
    }
    const auto [place, fresh] = numbers.emplace(name, parts.files.size());
    if (fresh) parts.files.push_back(fs::path(path).replace_filename(name).string());
    if (parts.files.size() > kMostParts) {
      throw InputError(fmt::format("{}: names more than {} files", path, kMostParts));
    }
    parts.holders.emplace(tensor, place->second);
  }
  return parts;
}

}  // namespace

WeightParts find_weight_parts(const std::string& path) {
  std::error_code ignored;
  const std::string file = fs::is_directory(path, ignored) ? in_folder(path) : path;
  if (file.ends_with(".json")) return parts_of_index(file);
  return {{file}, {}};
}

}  // namespace thaw
