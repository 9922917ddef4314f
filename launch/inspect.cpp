#include <ATen/core/Tensor.h>
#include <c10/core/ScalarType.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <unistd.h>

#include <array>
#include <filesystem>
#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>
#include <string_view>

#include "core/base/error.h"
#include "core/base/file_use.h"
#include "core/base/json_text.h"
#include "core/base/text_bytes.h"
#include "core/checkpoint/reader.h"
#include "core/data/dataset.h"
#include "core/models/weights/model_description.h"
#include "core/models/weights/safetensors.h"
#include "core/parallel/one_rank.h"
#include "core/record/run_folder.h"
#include "core/tasks/registry.h"
#include "core/train/training_state.h"
#include "launch/command/arguments.h"
#include "launch/command/subcommand.h"
#include "launch/job/job.h"
#include "launch/kept_run/account_text.h"
#include "launch/kept_run/kept_run.h"
#include "launch/kept_run/run_account.h"
#include "launch/run/checkpoint_weights.h"
#include "launch/run/data_opening.h"
#include "launch/run/file_deadline.h"
#include "launch/terminal/screen.h"
#include "launch/terminal/text_table.h"

namespace thaw {

// `thaw inspect`: says what a file or folder is and what it holds, after checking all of it. What
// it is follows from the path alone: a manifest makes a checkpoint, any other folder is a run, HDF5
// begins with a signature, and what is left must be safetensors. One process; changes nothing.
ArgumentParser inspect_parser() {
  ArgumentParser parser("inspect FILE [--json]",
                        "Describes an HDF5 dataset, a safetensors file, a run folder or a "
                        "checkpoint, after checking it. Of a run: its stages and metrics, its best "
                        "step, its time, what is kept on the disk, whether it is running, and how "
                        "to go on with it.");
  parser.positional("FILE", "what to describe");
  parser.flag("json", "a run as one JSON line, its checkpoints not verified");
  return parser;
}

namespace {

/// A table as wide as the screen at most; whole lines where there is none, for programs.
std::string table_text(const TextTable& table) {
  return table.text(screen_columns(STDOUT_FILENO, std::numeric_limits<std::size_t>::max()));
}

/// "[384, 384]", in one piece.
std::string shape_text(const std::vector<std::int64_t>& shape) {
  const std::string separator = {',', TextTable::kHeld};
  return fmt::format("[{}]", fmt::join(shape, separator));
}

constexpr std::string_view kHdf5Signature = "\x89HDF\r\n\x1a\n";

bool is_hdf5(const std::string& path) {
  std::array<char, 8> start{};
  std::error_code ignored;
  std::ifstream file;
  const FileUse use("read", path);
  // Opening a pipe would wait for who writes to it.
  if (std::filesystem::is_regular_file(path, ignored)) file.open(path, std::ios::binary);
  if (!file.is_open()) {
    throw InputError(fmt::format("{}: cannot be read, or is no regular file", path));
  }
  file.read(start.data(), start.size());
  return file.gcount() == 8 && std::string_view(start.data(), 8) == kHdf5Signature;
}

/// Each tensor, what they come to, and the metadata.
void print_safetensors(const std::string& path) {
  const SafetensorsFile file(path);
  TextTable table({"tensor", "dtype", "shape", ">bytes"});
  std::int64_t elements = 0;
  for (const SafetensorsEntry& entry : file.entries()) {
    std::int64_t count = 1;
    for (const std::int64_t size : entry.shape) {
      count *= size;
    }
    elements += count;
    table.row({printable(entry.name), safetensors_dtype(entry.dtype), shape_text(entry.shape),
               with_commas(static_cast<std::int64_t>(entry.end - entry.begin))});
  }
  fmt::print("{}: safetensors, {} tensors, {} values\n{}", printable(path), file.entries().size(),
             with_commas(elements), table_text(table));
  if (file.metadata().contains(kDescriptionKey)) {
    fmt::print("{}", describe(description_in(file), "  "));
  }
  for (const auto& [key, value] : file.metadata()) {
    if (key == kDescriptionKey) continue;
    const bool whole = value.size() <= 200;
    fmt::print("  {}: {}{}\n", printable(key), printable(value.substr(0, 200)), whole ? "" : " …");
  }
}

std::int64_t bytes_of(const CheckpointReader::Entry& entry) {
  auto bytes = static_cast<std::int64_t>(c10::elementSize(entry.dtype));
  for (const std::int64_t size : entry.shape) bytes *= size;
  return bytes;
}

/// What the tensors are, by the first part of their names: weights, buffers, optimizer, rank-0, ...
std::string tensor_table(const CheckpointReader& reader) {
  std::map<std::string, std::pair<std::int64_t, std::int64_t>> kinds;
  for (const auto& [name, entry] : reader.entries()) {
    auto& [count, bytes] = kinds[name.substr(0, name.find('/'))];
    ++count;
    bytes += bytes_of(entry);
  }
  TextTable table({"tensors", ">number", ">size"});
  for (const auto& [kind, sums] : kinds) {
    table.row({kind, with_commas(sums.first), bytes_text(sums.second)});
  }
  return table_text(table);
}

std::string file_table(const Manifest& manifest) {
  TextTable table({"file", ">bytes", "checksum"});
  for (const FileRecord& file : manifest.files) {
    table.row({file.name, with_commas(static_cast<std::int64_t>(file.bytes)), file.checksum});
  }
  return table_text(table);
}

/// Verifies every byte of the checkpoint at `path`. Throws InputError that says which file is wrong
/// and how.
std::string describe_checkpoint(const std::string& path) {
  const std::unique_ptr<Communicator> alone = make_self_communicator();
  const CheckpointReader reader(path, *alone);
  const Manifest& manifest = reader.manifest();
  const TrainingState state =
      training_state_from_json(reader.state(), path + "/" + std::string(kStateFile));
  std::string text = fmt::format(
      "{}: a checkpoint, all bytes verified\n  after step {} (epoch {:.3f}), {}\n"
      "  written {} by thaw {}, LibTorch {}, on {} rank{} of {} thread{} ({}, {})\n",
      path, manifest.place.step, manifest.epoch,
      fmt::format("{} stage \"{}\"", state.stage.under_way ? "in" : "at the end of",
                  state.stage.name),
      manifest.written, manifest.version, state.facts.torch, manifest.ranks,
      manifest.ranks == 1 ? "" : "s", state.facts.threads, state.facts.threads == 1 ? "" : "s",
      state.facts.device, state.facts.cpu);
  if (state.best_evaluation) {
    const EvaluationReport& best = *state.best_evaluation;
    text += fmt::format("  best so far: {} loss {:.4f}, {} at step {}\n", best.split, best.loss,
                        figure_text(best.figures.at(0)), best.step);
  }
  text += describe(state.model, "  ");
  return text + tensor_table(reader) + file_table(manifest);
}

/// A line for each checkpoint in the folder, oldest first, each verified; "" where there is none.
std::string list_checkpoints(const std::string& folder) {
  const CheckpointStore store(folder);
  const std::unique_ptr<Communicator> alone = make_self_communicator();
  std::string text;
  for (const CheckpointPlace place : store.places()) {
    std::string state = "good";
    try {
      const CheckpointReader reader(store.path_of(place), *alone);
    } catch (const InputError& error) {
      state = printable_lines(error.what());
    }
    text += fmt::format("  {}: {}\n", folder_name(place), state);
  }
  return text;
}

/// A run, with its checkpoints verified; or for programs, without that.
void print_run(const RunFolder& folder, bool json) {
  const RunAccount account = read_account(folder);
  if (json) {
    fmt::print("{}\n", json_text(account_json(account)));
    return;
  }
  fmt::print("{}", account_text(account));
  const std::string checkpoints = list_checkpoints(folder.checkpoints().string());
  if (!checkpoints.empty()) {
    fmt::print("checkpoints\n{}", checkpoints);
  }
}

ExitStatus inspect(const std::vector<std::string>& command_line) {
  const std::optional<ArgumentParser::Parsed> parsed = inspect_parser().parse(command_line);
  if (!parsed) {
    return ExitStatus::kDone;
  }
  const ArgumentParser::Parsed& arguments = *parsed;
  const std::unique_ptr<Communicator> alone = make_self_communicator();
  const FileDeadline files(*alone);
  const std::string path = arguments["FILE"];
  if (arguments.has("json") && !is_run_folder(path)) {
    throw InputError(fmt::format("{}: --json is for a run's folder, which this is not", path));
  }
  if (CheckpointWeights::is_at(path)) {
    fmt::print("{}", describe_checkpoint(path));
  } else if (std::filesystem::is_directory(path)) {
    const RunFolder folder(path);
    if (!folder.holds_a_run()) {
      throw InputError(fmt::format("{}: this folder holds no run and no checkpoint", path));
    }
    print_run(folder, arguments.has("json"));
  } else if (is_hdf5(path)) {
    try_data_files({path});
    fmt::print("{}\n", Dataset({path}).describe());
  } else {
    print_safetensors(path);
  }
  return ExitStatus::kDone;
}

}  // namespace

int run_inspect(std::vector<std::string> arguments) {
  return run_alone([&] { return inspect(arguments); });
}

}  // namespace thaw
