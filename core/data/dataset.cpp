#include "core/data/dataset.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <map>

#include "core/base/error.h"
#include "core/base/hash.h"
#include "core/base/input_text.h"
#include "core/base/suggest.h"
#include "core/base/text_bytes.h"
#include "core/data/counted_tokens.h"
#include "core/data/hdf5/dataset_attributes.h"
#include "core/data/hdf5/hdf5_file.h"
#include "core/data/hdf5/split_reader.h"
#include "core/data/identity/tokenizer_identity.h"
#include "core/data/label_matching.h"
#include "core/data/label_names.h"
#include "core/data/order/sample_selection.h"
#include "core/data/split_names.h"

namespace thaw {
namespace {

/// One split while its files are joined.
struct JoinedSplit {
  std::vector<Split::Part> parts;
  Labels labels;
  std::vector<std::int64_t> offsets;
  std::vector<std::int8_t> types;
  std::vector<std::int32_t> bytes;
  std::string called;  ///< in a file, where that is another name

  void append(FileSplit&& split) {
    labels.append(split.labels);
    types.insert(types.end(), split.types.begin(), split.types.end());
    bytes.insert(bytes.end(), split.bytes.begin(), split.bytes.end());
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
  LabelNames names;
  std::map<std::string, JoinedSplit> splits;

  void add(const std::string& path);
  void require_same_attributes(const DatasetAttributes& other, const std::string& path) const;
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
    names.add(split.labels, attributes,
              fmt::format("{}: /{}/{}", path, name, split.labels.array()));
    const std::string meant = split_meant(name);
    JoinedSplit& joined = splits[meant.empty() ? name : meant];
    if (!meant.empty() && meant != name) joined.called = name;
    joined.append(std::move(split));
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
  if (other.targets != attributes.targets) differ("targets");
  if (other.task != attributes.task) differ("task");
  if (other.mean != attributes.mean) differ("mean");
  if (other.std_deviation != attributes.std_deviation) differ("std");
  if (!may_be_one_tokenizer(attributes.tokens, other.tokens)) differ("tokenizer_sha256");
  const auto mine = attributes.tokens.find("vocabulary_size");
  const auto theirs = other.tokens.find("vocabulary_size");
  if (mine != attributes.tokens.end() && theirs != other.tokens.end() &&
      mine->second != theirs->second) {
    differ("vocabulary_size");
  }
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

/// What is learnt: "77 classes: a, b, …"; of numbers nobody may have named any.
std::string describe_names(const Dataset& dataset) {
  const bool numbers = dataset.label_type() == LabelType::kValues;
  if (dataset.label_type() == LabelType::kPrompts) {
    const Split& first = dataset.split(dataset.split_names().front());
    return first.labels().prompts().said ? "prompts and what follows" : "running text";
  }
  const std::vector<std::string>& names = numbers ? dataset.targets() : dataset.classes();
  constexpr std::size_t kShown = 6;
  std::vector<std::string> shown;
  for (const std::string& name : names) {
    if (shown.size() == kShown) break;
    shown.push_back(printable(name));
  }
  return fmt::format("{} {}{}{}{}", numbers ? dataset.label_width() : std::ssize(names),
                     numbers ? "numbers a sample" : "classes", names.empty() ? "" : ": ",
                     fmt::join(shown, ", "), names.size() > kShown ? ", …" : "");
}

}  // namespace

// Files are closed again at the end of `Joining::add`; what stays open is a descriptor of each file
// with contiguous samples, and HDF5's own of each with chunked ones until they are decoded.
Dataset::Dataset(std::vector<std::string> files) : files_(std::move(files)) {
  if (files_.empty()) throw InputError("data.file: names no file");
  Joining joining;
  for (const std::string& path : files_) joining.add(path);
  format_ = joining.format;
  joining.names.complete(joining.attributes);
  classes_ = std::move(joining.attributes.classes);
  targets_ = std::move(joining.attributes.targets);
  task_ = std::move(joining.attributes.task);
  mean_ = std::move(joining.attributes.mean);
  std_ = std::move(joining.attributes.std_deviation);
  tokens_ = std::move(joining.attributes.tokens);
  remarks_ = std::move(joining.attributes.remarks);
  for (const std::string& name : in_order(joining.splits)) {
    JoinedSplit& split = joining.splits[name];
    if (!split.called.empty()) remarks_.emplace_back(name, "in the file as /" + split.called);
    splits_.push_back(std::make_unique<Split>(name, format_, std::move(split.parts),
                                              std::move(split.labels), std::move(split.offsets),
                                              std::move(split.types), std::move(split.bytes)));
    require_counted_tokens(*splits_.back(), fmt::format("{}: /{}", files_.front(), name));
  }
}

Dataset::Dataset(std::string name, const SampleFormat& format,
                 std::vector<std::unique_ptr<Split>> splits, DatasetAttributes attributes)
    : files_({std::move(name)}),
      format_(format),
      classes_(std::move(attributes.classes)),
      targets_(std::move(attributes.targets)),
      task_(std::move(attributes.task)),
      mean_(std::move(attributes.mean)),
      std_(std::move(attributes.std_deviation)),
      tokens_(std::move(attributes.tokens)),
      remarks_(std::move(attributes.remarks)),
      splits_(std::move(splits)) {}

Dataset::~Dataset() = default;
Dataset::Dataset(Dataset&&) noexcept = default;
Dataset& Dataset::operator=(Dataset&&) noexcept = default;

void Dataset::take_tokenizer(const std::string& path) {
  constexpr std::int64_t kLargest = 256 << 20;
  const auto identity = tokenizer_identity(read_input_text(path, kLargest));
  if (!may_be_one_tokenizer(identity, tokens_)) {
    const auto name = tokens_.find("tokenizer");
    throw InputError(fmt::format(
        "{} is another tokenizer than the one that made the tokens of {}{}: name that one, or "
        "prepare the data with this one",
        path, files_.front(),
        name == tokens_.end() ? "" : fmt::format(" ({})", printable(name->second))));
  }
  tokens_.insert(identity.begin(), identity.end());
}

std::vector<std::string> Dataset::split_names() const {
  std::vector<std::string> names;
  for (const auto& split : splits_) names.push_back(split->name());
  return names;
}

bool Dataset::has_split(const std::string& name) const { return find_split(name) != nullptr; }

Split* Dataset::find_split(const std::string& name) const {
  for (const std::string& wanted : {name, split_meant(name)}) {
    for (const auto& split : splits_) {
      if (split->name() == wanted) return split.get();
    }
  }
  return nullptr;
}

const Split& Dataset::split(const std::string& name) const {
  if (const Split* found = find_split(name)) return *found;
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
  const Split* wanted = &split(name);  // there, or an error that lists those that are
  for (auto& split : splits_) {
    if (split.get() != wanted) continue;
    split = narrow_split(std::move(split), std::move(samples));
    require_counted_tokens(*split, fmt::format("{}: what is chosen of /{}", files_.front(), name));
    return;
  }
}

void Dataset::relabel(const std::vector<std::string>& names, std::span<const std::int64_t> places) {
  const auto width = static_cast<std::int64_t>(names.size());
  for (auto& split : splits_) split->relabel(renumbered(split->labels(), places, width));
  (label_type() == LabelType::kValues ? targets_ : classes_) = names;
}

void Dataset::normalise(std::vector<double> mean, std::vector<double> std_deviation) {
  mean_ = std::move(mean);
  std_ = std::move(std_deviation);
}

Fingerprint Dataset::fingerprint() const {
  const auto labels_text = [](const Labels& labels) {
    const std::string type = labels.type() == LabelType::kClass ? "" : labels.describe_type() + " ";
    return type + labels.fingerprint().hex();
  };
  const auto of = [](std::span<const std::int64_t> numbers) {
    return thaw::fingerprint(numbers.data(), numbers.size_bytes()).hex();
  };
  std::string text = format_.describe();
  for (const std::string& name : classes_) text += "\n" + name;
  for (const std::string& name : targets_) text += "\n" + name;
  for (const auto& split : splits_) {
    text += fmt::format("\n/{} {} {} {}", split->name(), split->size(),
                        labels_text(split->labels()), of(split->offsets()));
  }
  for (const auto& split : splits_) {
    const std::span<const std::int8_t> types = split->types();
    if (!types.empty()) text += "\n" + thaw::fingerprint(types.data(), types.size()).hex();
    const std::span<const std::int32_t> bytes = split->bytes();
    if (!bytes.empty()) {
      text += "\nbytes " + thaw::fingerprint(bytes.data(), bytes.size_bytes()).hex();
    }
  }
  return thaw::fingerprint(text);
}

std::string Dataset::describe() const {
  std::string text = fmt::format("{}, {}\n", format_.describe(), describe_names(*this));
  if (!mean_.empty()) {
    text += fmt::format("mean {}, std {}\n", fmt::join(mean_, " "), fmt::join(std_, " "));
  }
  for (const auto& split : splits_) {
    const std::string counted = describe_counted(*split);
    text += fmt::format("{}: {}; {}{}{}\n", printable(split->name()), split->describe(),
                        split->labels().describe(classes_.size()), counted.empty() ? "" : "; ",
                        counted);
  }
  for (const auto& [name, value] : remarks_) {
    text += fmt::format("{}: {}\n", printable(name), printable(value));
  }
  text += fmt::format("{}: {}\n", files_.size() == 1 ? "file" : "files",
                      printable(fmt::format("{}", fmt::join(files_, ", "))));
  return text;
}

}  // namespace thaw
