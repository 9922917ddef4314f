#include "core/checkpoint/layout.h"

#include <fmt/format.h>

#include <charconv>

namespace thaw {
namespace {

constexpr std::string_view kPrefix = "step-";
constexpr std::string_view kTransition = "-transition";

}  // namespace

std::string folder_name(CheckpointPlace place) {
  return fmt::format("{}{:09}{}", kPrefix, place.step, place.transition ? kTransition : "");
}

std::optional<CheckpointPlace> parse_folder_name(std::string_view name) {
  if (!name.starts_with(kPrefix)) return std::nullopt;
  CheckpointPlace place;
  const char* first = name.data() + kPrefix.size();
  const char* last = name.data() + name.size();
  const auto [end, error] = std::from_chars(first, last, place.step);
  if (error != std::errc() || place.step < 0) return std::nullopt;
  place.transition = std::string_view(end, static_cast<std::size_t>(last - end)) == kTransition;
  // Anything that the writer would have written otherwise ("step-5", "step-5x") is not ours.
  if (folder_name(place) != name) return std::nullopt;
  return place;
}

std::string shard_file(int rank, int ranks) {
  return fmt::format("shard-{}-of-{}.safetensors", rank, ranks);
}

}  // namespace thaw
