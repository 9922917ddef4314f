#include "core/data/hdf5/dataset_attributes.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <string_view>
#include <unordered_map>

#include "core/base/error.h"
#include "core/base/text_bytes.h"
#include "core/data/hdf5/hdf5_file.h"
#include "core/data/split.h"

namespace thaw {
namespace {

constexpr std::array<std::string_view, 6> kTokenAttributes = {
    "tokenizer",  "tokenizer_sha256", "tokenizer_function",
    "max_tokens", "vocabulary_size",  "pairs"};

/// The names that `attribute` lists, each of one `thing`; empty where there is no such attribute.
std::vector<std::string> read_names(const Hdf5File& file, const std::string& attribute,
                                    const char* thing) {
  const auto names = file.strings(attribute);
  if (!names) return {};
  const std::string where = fmt::format("{}: attribute \"{}\"", file.path(), attribute);
  if (names->empty()) {
    throw InputError(
        fmt::format("{}: is an empty list; name the {} or leave it out", where, attribute));
  }
  for (std::size_t i = 0; i < names->size(); ++i) {
    const std::string& name = (*names)[i];
    if (name.empty()) throw InputError(fmt::format("{}: {} {} has no name", where, thing, i));
    if (!is_utf8(name)) throw InputError(fmt::format("{}: name {} is not UTF-8", where, i));
  }
  require_distinct(*names, where);
  return *names;
}

}  // namespace

void require_distinct(const std::vector<std::string>& names, const std::string& where) {
  std::unordered_map<std::string_view, std::size_t> first;
  for (std::size_t i = 0; i < names.size(); ++i) {
    const auto [place, fresh] = first.emplace(names[i], i);
    if (fresh) continue;
    throw InputError(fmt::format(
        "{}: names {} and {} are both \"{}\": what is said of one could be meant of the other; "
        "give each a name of its own",
        where, place->second, i, printable(names[i])));
  }
}

DatasetAttributes read_attributes(const Hdf5File& file) {
  DatasetAttributes result;
  result.classes = read_names(file, "classes", "class");
  result.targets = read_names(file, "targets", "target");
  result.task = file.text("task").value_or("");
  result.mean = file.numbers("mean").value_or(std::vector<double>());
  result.std_deviation = file.numbers("std").value_or(std::vector<double>());
  for (const std::string& name : file.attribute_names()) {
    if (name == "classes" || name == "targets" || name == "mean" || name == "std") continue;
    result.remarks.emplace_back(name, file.attribute_text(name));
    if (std::find(kTokenAttributes.begin(), kTokenAttributes.end(), name) !=
        kTokenAttributes.end()) {
      result.tokens.insert(result.remarks.back());
    }
  }
  return result;
}

void check_normalisation(const DatasetAttributes& attributes, const SampleFormat& format,
                         const std::string& file) {
  const auto& mean = attributes.mean;
  const auto& deviation = attributes.std_deviation;
  if (mean.empty() != deviation.empty()) {
    throw InputError(fmt::format("{}: has attribute \"{}\" without \"{}\"; give both or neither",
                                 file, mean.empty() ? "std" : "mean",
                                 mean.empty() ? "mean" : "std"));
  }
  if (mean.empty() || format.kind != DataKind::kImages) return;
  const auto channels = static_cast<std::size_t>(format.channels);
  if (mean.size() != channels || deviation.size() != channels) {
    throw InputError(fmt::format(
        "{}: attributes \"mean\" and \"std\" hold {} and {} numbers, must hold one a channel: {}",
        file, mean.size(), deviation.size(), channels));
  }
  // Pixels are float32, in which more would be infinite and less 0.
  constexpr double kMost = 1e30, kLeast = 1e-30;
  for (std::size_t c = 0; c < channels; ++c) {
    if (!(std::abs(mean[c]) <= kMost) || !(deviation[c] <= kMost) || !(deviation[c] >= kLeast)) {
      throw InputError(
          fmt::format("{}: channel {} has mean {} and std {}; std must be > 0 and "
                      "both finite, as float32 too",
                      file, c, mean[c], deviation[c]));
    }
    if (format.bytes && (mean[c] < 0 || mean[c] > 1)) {
      throw InputError(
          fmt::format("{}: attribute \"mean\" is {} for channel {}; uint8 pixels are "
                      "scaled to [0, 1] first, so divide \"mean\" and \"std\" by 255",
                      file, mean[c], c));
    }
  }
}

}  // namespace thaw
