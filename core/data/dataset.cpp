#include "core/data/dataset.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <map>

#include "core/base/error.h"
#include "core/base/suggest.h"
#include "core/data/hdf5/dataset_attributes.h"
#include "core/data/hdf5/hdf5_file.h"
#include "core/data/hdf5/split_reader.h"
#include "core/data/order/sample_selection.h"

namespace thaw {
namespace {

/// More classes than this without names are labels that are no class numbers.
constexpr std::int64_t kMaxClasses = 1 << 22;

/// One split while its files are joined.
struct JoinedSplit {
  std::vector<Split::Part> parts;
  std::vector<std::int64_t> labels;
  std::vector<std::int64_t> offsets;

  void append(FileSplit&& split) {
    labels.insert(labels.end(), split.labels.begin(), split.labels.end());
    if (!split.offsets.empty()) {
      if (offsets.empty()) offsets.push_back(0);
      const std::int64_t base = offsets.back();
      for (std::size_t i = 1; i < split.offsets.size(); ++i) {
        offsets.push_back(base + split.offsets[i]);
      }
    }
    parts.push_back(std::move(split.part));
  }
};

/// What is known of a dataset while its files are read one after another.
struct Joining {
  std::string first_file;
  DatasetAttributes attributes;
  SampleFormat format;
  std::map<std::string, JoinedSplit> splits;
  std::int64_t largest_label = -1;

  void add(const std::string& path);
  void require_same_attributes(const DatasetAttributes& other, const std::string& path) const;
  void look_at_labels(const FileSplit& split, const std::string& where);
};

/// Reads one file; what it says must agree with the files before it.
void Joining::add(const std::string& path) {
  const Hdf5File file(path);
  DatasetAttributes found = read_attributes(file);
  const bool first = splits.empty();
  if (first) {
    attributes = std::move(found);
    first_file = path;
  } else {
    require_same_attributes(found, path);
  }
  SplitReader reader(file);
  for (const std::string& name : reader.names()) {
    FileSplit split = reader.read(name);
    if (splits.empty()) {
      format = split.format;
      check_normalisation(attributes, format, path);
    } else if (split.format != format) {
      throw InputError(
          fmt::format("{}: /{} holds {}, but {} holds {}; all splits of all files "
                      "must be alike",
                      path, name, split.format.describe(), first_file, format.describe()));
    }
    look_at_labels(split, fmt::format("{}: /{}/labels", path, name));
    splits[name].append(std::move(split));
  }
}

void Joining::require_same_attributes(const DatasetAttributes& other,
                                      const std::string& path) const {
  const auto differ = [&](const char* name) {
    throw InputError(
        fmt::format("{}: attribute \"{}\" differs from that of {}; files read as one "
                    "dataset must agree on it",
                    path, name, first_file));
  };
  if (other.classes != attributes.classes) differ("classes");
  if (other.mean != attributes.mean) differ("mean");
  if (other.std_deviation != attributes.std_deviation) differ("std");
}

void Joining::look_at_labels(const FileSplit& split, const std::string& where) {
  const auto largest = std::max_element(split.labels.begin(), split.labels.end());
  const auto named = static_cast<std::int64_t>(attributes.classes.size());
  if (named > 0 && *largest >= named) {
    throw InputError(
        fmt::format("{}: sample {} has label {}, but attribute \"classes\" names {} "
                    "classes, so labels must be below {}",
                    where, largest - split.labels.begin(), *largest, named, named));
  }
  if (*largest >= kMaxClasses) {
    throw InputError(
        fmt::format("{}: sample {} has label {}; labels must be class numbers from 0 "
                    "on, below {}",
                    where, largest - split.labels.begin(), *largest, kMaxClasses));
  }
  largest_label = std::max(largest_label, *largest);
}

/// The known splits first, then by name.
std::vector<std::string> in_order(const std::map<std::string, JoinedSplit>& splits) {
  std::vector<std::string> names;
  for (const char* known : {"train", "validation", "test"}) {
    if (splits.count(known) > 0) names.emplace_back(known);
  }
  for (const auto& entry : splits) {
    if (std::find(names.begin(), names.end(), entry.first) == names.end()) {
      names.push_back(entry.first);
    }
  }
  return names;
}

std::string describe_classes(const std::vector<std::string>& classes) {
  constexpr std::size_t kShown = 6;
  const std::vector<std::string> shown(classes.begin(),
                                       classes.begin() + std::min(kShown, classes.size()));
  return fmt::format("{} classes: {}{}", classes.size(), fmt::join(shown, ", "),
                     classes.size() > kShown ? ", …" : "");
}

std::string describe_balance(const Split& split, std::size_t classes) {
  std::vector<std::int64_t> counts(classes, 0);
  for (const std::int64_t label : split.labels()) ++counts[label];
  const auto [least, most] = std::minmax_element(counts.begin(), counts.end());
  return fmt::format("{} to {} samples a class", *least, *most);
}

}  // namespace

// Files are closed again at the end of `Joining::add`; what stays open is a descriptor of each file
// with contiguous samples, and HDF5's own of each with chunked ones until they are decoded.
Dataset::Dataset(std::vector<std::string> files) : files_(std::move(files)) {
  if (files_.empty()) throw InputError("data.file: names no file");
  Joining joining;
  for (const std::string& path : files_) joining.add(path);
  format_ = joining.format;
  classes_ = std::move(joining.attributes.classes);
  for (std::int64_t i = static_cast<std::int64_t>(classes_.size()); i <= joining.largest_label;
       ++i) {
    classes_.push_back(std::to_string(i));
  }
  mean_ = std::move(joining.attributes.mean);
  std_ = std::move(joining.attributes.std_deviation);
  remarks_ = std::move(joining.attributes.remarks);
  for (const std::string& name : in_order(joining.splits)) {
    JoinedSplit& split = joining.splits[name];
    splits_.push_back(std::make_unique<Split>(name, format_, std::move(split.parts),
                                              std::move(split.labels), std::move(split.offsets)));
  }
}

Dataset::Dataset(std::string name, const SampleFormat& format,
                 std::vector<std::unique_ptr<Split>> splits, DatasetAttributes attributes)
    : files_({std::move(name)}),
      format_(format),
      classes_(std::move(attributes.classes)),
      mean_(std::move(attributes.mean)),
      std_(std::move(attributes.std_deviation)),
      remarks_(std::move(attributes.remarks)),
      splits_(std::move(splits)) {}

Dataset::~Dataset() = default;
Dataset::Dataset(Dataset&&) noexcept = default;
Dataset& Dataset::operator=(Dataset&&) noexcept = default;

std::vector<std::string> Dataset::split_names() const {
  std::vector<std::string> names;
  for (const auto& split : splits_) names.push_back(split->name());
  return names;
}

bool Dataset::has_split(const std::string& name) const {
  return std::any_of(splits_.begin(), splits_.end(),
                     [&](const auto& split) { return split->name() == name; });
}

const Split& Dataset::split(const std::string& name) const {
  for (const auto& split : splits_) {
    if (split->name() == name) return *split;
  }
  const std::vector<std::string> names = split_names();
  const std::string nearest = nearest_name(name, names);
  throw InputError(fmt::format("{}: no split \"{}\" (holds: {}){}", fmt::join(files_, ", "), name,
                               fmt::join(names, ", "),
                               nearest.empty() ? "" : "; did you mean \"" + nearest + "\"?"));
}

Split& Dataset::split(const std::string& name) {
  return const_cast<Split&>(static_cast<const Dataset*>(this)->split(name));
}

void Dataset::narrow(const std::string& name, std::vector<std::int64_t> samples) {
  split(name);  // there, or an error that lists those that are
  for (auto& split : splits_) {
    if (split->name() == name) split = narrow_split(std::move(split), std::move(samples));
  }
}

Fingerprint Dataset::fingerprint() const {
  const auto of = [](std::span<const std::int64_t> numbers) {
    return thaw::fingerprint(numbers.data(), numbers.size_bytes()).hex();
  };
  std::string text = format_.describe();
  for (const std::string& name : classes_) text += "\n" + name;
  for (const auto& split : splits_) {
    text += fmt::format("\n/{} {} {} {}", split->name(), split->size(), of(split->labels()),
                        of(split->offsets()));
  }
  return thaw::fingerprint(text);
}

std::string Dataset::describe() const {
  std::string text = fmt::format("{}, {}\n", format_.describe(), describe_classes(classes_));
  if (!mean_.empty()) {
    text += fmt::format("mean {}, std {}\n", fmt::join(mean_, " "), fmt::join(std_, " "));
  }
  for (const auto& split : splits_) {
    text += fmt::format("{}: {}; {}\n", split->name(), split->describe(),
                        describe_balance(*split, classes_.size()));
  }
  for (const auto& [name, value] : remarks_) text += fmt::format("{}: {}\n", name, value);
  text += fmt::format("{}: {}\n", files_.size() == 1 ? "file" : "files", fmt::join(files_, ", "));
  return text;
}

}  // namespace thaw
