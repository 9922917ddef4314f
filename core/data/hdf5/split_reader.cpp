#include "core/data/hdf5/split_reader.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <utility>

#include "core/base/system.h"
#include "core/data/hdf5/byte_store.h"
#include "core/data/hdf5/readable_file.h"
#include "core/data/split_names.h"

namespace thaw {
namespace {

bool contains(const std::vector<std::string>& names, const char* name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

/// What users get wrong first: numpy's default types. The message says the cure.
void require_type(const Hdf5Dataset& dataset, const std::vector<std::string>& wanted) {
  if (std::find(wanted.begin(), wanted.end(), dataset.type()) != wanted.end()) return;
  // Of reals, only float32 keeps what they are.
  const bool reals = dataset.type().find("float") != std::string::npos &&
                     std::find(wanted.begin(), wanted.end(), "float32") != wanted.end();
  throw InputError(fmt::format("{}: dtype is {}, must be {} (numpy: .astype(\"{}\"))",
                               dataset.where(), dataset.type(), fmt::join(wanted, " or "),
                               reals ? "float32" : wanted.front()));
}

/// "[60000, 28, 28]"
std::string shape_text(const Hdf5Dataset& dataset) {
  return fmt::format("[{}]", fmt::join(dataset.shape(), ", "));
}

/// `wanted`: the shape in words.
void require_rank(const Hdf5Dataset& dataset, std::size_t rank, const char* wanted) {
  if (dataset.shape().size() == rank) return;
  throw InputError(
      fmt::format("{}: shape is {}, must be {}", dataset.where(), shape_text(dataset), wanted));
}

/// All elements, row after row, of a dataset of that type.
template <class Number = std::int64_t>
std::vector<Number> read_numbers(const Hdf5Dataset& dataset) {
  dataset.require_credible();
  const std::int64_t available = available_memory();
  if (dataset.bytes() > available) {
    throw InputError(fmt::format("{}: takes {} of memory, {} are available", dataset.where(),
                                 memory_text(dataset.bytes()), memory_text(available)));
  }
  std::vector<Number> numbers(dataset.elements());
  dataset.read_rows(0, dataset.rows(), reinterpret_cast<std::byte*>(numbers.data()));
  return numbers;
}

/// Each sample holds a token: the mean over none would be no number.
void require_offsets(const Hdf5Dataset& dataset, const std::vector<std::int64_t>& offsets,
                     std::int64_t tokens) {
  if (offsets.front() != 0) {
    throw InputError(
        fmt::format("{}: begins with {}, must begin with 0", dataset.where(), offsets.front()));
  }
  for (std::size_t i = 1; i < offsets.size(); ++i) {
    if (offsets[i] > offsets[i - 1]) continue;
    throw InputError(
        fmt::format("{}: sample {} begins at {} and ends at {}; each sample must hold "
                    "at least one token",
                    dataset.where(), i - 1, offsets[i - 1], offsets[i]));
  }
  if (offsets.back() != tokens) {
    throw InputError(fmt::format("{}: ends with {}, must end with the number of tokens, {}",
                                 dataset.where(), offsets.back(), tokens));
  }
}

/// Of a split that begins with `where`, by the array that has one entry a sample.
[[noreturn]] void refuse_empty(const Hdf5Dataset& dataset, const std::string& where) {
  // Sources that are not there leave nothing of a virtual one.
  if (dataset.layout().starts_with("virtual")) dataset.require_credible();
  throw InputError(fmt::format("{} holds no samples; leave the HDF5 group out", where));
}

constexpr const char* kTextLabels =
    "one of labels (of samples), token_labels and prompt_lengths, or none of them (running text)";

void require_one_kind_of_labels(const std::vector<std::string>& arrays, const std::string& where) {
  std::vector<std::string> kinds;
  for (const char* kind : {"labels", "token_labels", "prompt_lengths"}) {
    if (contains(arrays, kind)) kinds.emplace_back(kind);
  }
  if (kinds.size() < 2) return;
  throw InputError(
      fmt::format("{} holds {}, of which a split has one: leave out what is not learnt", where,
                  fmt::join(kinds, " and ")));
}

}  // namespace

std::vector<std::string> SplitReader::names() const {
  std::vector<std::string> names = file_.groups_in("/");
  std::erase_if(names, [&](const std::string& name) {
    if (name == "train" || name == "validation" || name == "test") return false;
    const std::vector<std::string> arrays = file_.names_in("/" + name);
    const bool meant =
        !split_meant(name).empty() && (contains(arrays, "inputs") || contains(arrays, "tokens"));
    const bool text = contains(arrays, "tokens") && contains(arrays, "offsets");
    return !meant && !text && !contains(arrays, "labels");
  });
  if (names.empty()) {
    throw InputError(fmt::format(
        "{}: holds none of the HDF5 groups {}{}", file_.path(), kSplitNames,
        contains(file_.names_in("/"), "labels") ? "; its arrays must lie in one, as /train/labels"
                                                : ""));
  }
  require_one_name_a_split(names, file_.path());
  return names;
}

FileSplit SplitReader::read(const std::string& name) {
  const std::string group = "/" + name;
  const std::vector<std::string> arrays = file_.names_in(group);
  const bool text = contains(arrays, "tokens");
  const bool images = contains(arrays, "inputs");
  if (text == images) {
    throw InputError(
        fmt::format("{}: {} must hold either tokens (text) or inputs (images), holds "
                    "{}",
                    file_.path(), group, text ? "both" : "neither"));
  }
  require_one_kind_of_labels(arrays, file_.path() + ": " + group);
  const bool labels = contains(arrays, "labels");
  if (text ? !contains(arrays, "offsets") : !labels) {
    throw InputError(
        fmt::format("{}: {} holds no {}; {}", file_.path(), group, text ? "offsets" : "labels",
                    text ? fmt::format("text needs tokens, offsets and {}", kTextLabels)
                         : "an image split needs inputs and labels"));
  }
  FileSplit split;
  if (labels) {
    split.labels = read_labels(group);
    split.part.samples = split.labels.size();
  }
  if (text) {
    read_text(group, split);
  } else {
    read_images(group, split);
  }
  return split;
}

Labels SplitReader::read_labels(const std::string& group) const {
  const Hdf5Dataset dataset = file_.dataset(group + "/labels");
  // What was meant is taken from what cannot be mistaken: real numbers, a table of flags.
  const bool table = dataset.shape().size() == 2;
  const bool values = dataset.type().find("float") != std::string::npos;
  const bool flags = table && !values && dataset.type() != "int64";
  require_type(dataset, {flags ? "uint8" : values ? "float32" : "int64"});
  if (!table || dataset.type() == "int64") {
    require_rank(dataset, 1,
                 values  ? "[samples] or [samples, targets]"
                 : table ? "[samples]: the number of each one's class (of one-hot rows, numpy: "
                           ".argmax(1))"
                         : "[samples]");
  }
  if (dataset.rows() == 0) {
    refuse_empty(dataset, file_.path() + ": " + group);
  }
  if (dataset.elements() == 0) {
    throw InputError(fmt::format("{}: shape is {}: samples without a label", dataset.where(),
                                 shape_text(dataset)));
  }
  const std::int64_t width = dataset.elements() / dataset.rows();
  Labels labels = flags    ? Labels(read_numbers<std::uint8_t>(dataset), width)
                  : values ? Labels(read_numbers<float>(dataset), width)
                           : Labels(read_numbers(dataset));
  const std::string objection = labels.objection();
  if (!objection.empty()) {
    throw InputError(fmt::format("{}: {}", dataset.where(), objection));
  }
  return labels;
}

std::vector<std::int8_t> SplitReader::read_types(const std::string& group,
                                                 std::int64_t tokens) const {
  const Hdf5Dataset dataset = file_.dataset(group + "/types");
  require_type(dataset, {"int8"});
  require_rank(dataset, 1, "[tokens of all samples]");
  if (dataset.rows() != tokens) {
    throw InputError(fmt::format("{}: has {} entries, must have one a token, {}", dataset.where(),
                                 dataset.rows(), tokens));
  }
  std::vector<std::int8_t> types = read_numbers<std::int8_t>(dataset);
  const auto bad = std::find_if(types.begin(), types.end(), [](auto type) { return type < 0; });
  if (bad != types.end()) {
    throw InputError(fmt::format("{}: token {} has type {}; types must be >= 0", dataset.where(),
                                 bad - types.begin(), static_cast<int>(*bad)));
  }
  return types;
}

std::vector<std::int32_t> SplitReader::read_column(const std::string& name, std::int64_t count,
                                                   const char* one) const {
  const Hdf5Dataset dataset = file_.dataset(name);
  require_type(dataset, {"int32"});
  require_rank(dataset, 1, fmt::format("[one a {}]", one).c_str());
  if (dataset.rows() != count) {
    throw InputError(fmt::format("{}: has {} entries, must have one a {}, {}", dataset.where(),
                                 dataset.rows(), one, count));
  }
  return read_numbers<std::int32_t>(dataset);
}

/// Those that only text has, or none at all: running text.
Labels SplitReader::read_text_labels(const std::string& group,
                                     const std::vector<std::int64_t>& offsets) const {
  const std::vector<std::string> arrays = file_.names_in(group);
  const std::int64_t samples = static_cast<std::int64_t>(offsets.size()) - 1;
  Labels labels;
  if (contains(arrays, "token_labels")) {
    labels = Labels(
        TokenClasses{read_column(group + "/token_labels", offsets.back(), "token"), offsets});
  } else if (contains(arrays, "prompt_lengths")) {
    const std::vector<std::int32_t> lengths =
        read_column(group + "/prompt_lengths", samples, "sample");
    labels = Labels(PromptLengths{{lengths.begin(), lengths.end()}});
  } else {
    labels = Labels(PromptLengths{
        .lengths = std::vector<std::int64_t>(static_cast<std::size_t>(samples), 0), .said = false});
  }
  const std::string objection = labels.objection(offsets);
  if (!objection.empty()) {
    throw InputError(fmt::format("{}: {}/{}: {}", file_.path(), group, labels.array(), objection));
  }
  return labels;
}

std::vector<std::int32_t> SplitReader::read_bytes(const std::string& group,
                                                  std::int64_t samples) const {
  std::vector<std::int32_t> bytes = read_column(group + "/bytes", samples, "sample");
  const auto bad = std::find_if(bytes.begin(), bytes.end(), [](auto count) { return count < 0; });
  if (bad != bytes.end()) {
    throw InputError(fmt::format("{}: {}/bytes: sample {} has {} bytes; bytes must be >= 0",
                                 file_.path(), group, bad - bytes.begin(), *bad));
  }
  return bytes;
}

void SplitReader::read_text(const std::string& group, FileSplit& split) {
  split.format.kind = DataKind::kText;
  const Hdf5Dataset offsets = file_.dataset(group + "/offsets");
  Hdf5Dataset tokens = file_.dataset(group + "/tokens");
  require_type(offsets, {"int64"});
  require_rank(offsets, 1, "[samples + 1]");
  require_type(tokens, {"int32"});
  require_rank(tokens, 1, "[tokens of all samples]");
  const bool labelled = split.part.samples > 0;
  if (!labelled && offsets.rows() < 2) refuse_empty(offsets, file_.path() + ": " + group);
  if (!labelled) split.part.samples = offsets.rows() - 1;
  if (offsets.rows() != split.part.samples + 1) {
    throw InputError(fmt::format("{}: has {} entries, must have {}: one more than labels",
                                 offsets.where(), offsets.rows(), split.part.samples + 1));
  }
  split.offsets = read_numbers(offsets);
  require_offsets(offsets, split.offsets, tokens.rows());
  if (!labelled) split.labels = read_text_labels(group, split.offsets);
  const std::vector<std::string> arrays = file_.names_in(group);
  if (contains(arrays, "types")) {
    split.format.pairs = true;
    split.types = read_types(group, tokens.rows());
  }
  if (split.labels.type() == LabelType::kPrompts && contains(arrays, "bytes")) {
    split.format.counts_bytes = true;
    split.bytes = read_bytes(group, split.part.samples);
  }
  set_values(std::move(tokens), split.part);
}

void SplitReader::read_images(const std::string& group, FileSplit& split) {
  Hdf5Dataset inputs = file_.dataset(group + "/inputs");
  require_type(inputs, {"uint8", "float32"});
  require_rank(inputs, 4, "[samples, channels, height, width]");
  const std::vector<std::int64_t>& shape = inputs.shape();
  if (shape[0] != split.part.samples) {
    throw InputError(fmt::format("{}: holds {} samples, labels {}", inputs.where(), shape[0],
                                 split.part.samples));
  }
  if (inputs.elements() == 0) {
    throw InputError(
        fmt::format("{}: shape is {}: images without pixels", inputs.where(), shape_text(inputs)));
  }
  split.format = {DataKind::kImages, shape[1], shape[2], shape[3], inputs.type() == "uint8"};
  // Bytes are pictures; of real numbers, which may be anything, a warning tells
  // (launch/run/data_opening.cpp).
  if (split.format.bytes && split.format.looks_channels_last()) {
    throw InputError(
        fmt::format("{}: shape is {}, which looks like [samples, height, width, channels]; it must "
                    "be [samples, channels, height, width] (numpy: .transpose(0, 3, 1, 2))",
                    inputs.where(), shape_text(inputs)));
  }
  set_values(std::move(inputs), split.part);
}

void SplitReader::set_values(Hdf5Dataset values, Split::Part& part) {
  part.name = values.where();
  part.layout = values.layout();
  values.require_credible();
  // Chunked, compact, virtual, external: readable through HDF5 only.
  const std::string array = values.name();
  if (!values.address()) {
    const std::optional<FileStamp> stamp = stamp_of(values.file());
    if (stamp && values.in_its_file()) {
      part.source = std::make_shared<SampleSource>(SampleSource{values.file(), array, *stamp});
    }
    part.chunked = std::make_shared<const Hdf5Dataset>(std::move(values));
    return;
  }
  auto& file = files_[values.file()];
  if (!file) file = std::make_shared<const ReadableFile>(values.file());
  if (*values.address() > file->size() - values.bytes()) {
    throw InputError(
        fmt::format("{}: {} bytes at byte {} reach beyond the file's {}; it was cut "
                    "short",
                    values.where(), values.bytes(), *values.address(), file->size()));
  }
  part.source = std::make_shared<SampleSource>(SampleSource{file->path(), array, file->stamp()});
  part.store = std::make_shared<FileByteStore>(file, *values.address(), part.layout);
}

}  // namespace thaw
