#include <fmt/format.h>
#include <fmt/ranges.h>

#include <array>
#include <filesystem>
#include <fstream>
#include <string_view>

#include "core/base/error.h"
#include "core/data/dataset.h"
#include "core/models/weights/safetensors.h"
#include "core/record/run_folder.h"
#include "launch/arguments.h"
#include "launch/inspect_checkpoint.h"
#include "launch/job/job.h"
#include "launch/run/checkpoint_weights.h"
#include "launch/run/data_file_trial.h"
#include "launch/subcommand.h"
#include "launch/terminal/text_table.h"

namespace thaw {
namespace {

constexpr std::string_view kHdf5Signature = "\x89HDF\r\n\x1a\n";

ArgumentParser make_parser() {
  ArgumentParser parser("inspect FILE",
                        "Describes an HDF5 dataset, a safetensors file, a run folder or a "
                        "checkpoint, after checking it.");
  parser.positional("FILE", "what to describe");
  return parser;
}

bool is_hdf5(const std::string& path) {
  std::array<char, 8> start{};
  std::ifstream file(path, std::ios::binary);
  if (!file) {
    throw InputError(fmt::format("{}: cannot be read", path));
  }
  file.read(start.data(), start.size());
  return file.gcount() == 8 && std::string_view(start.data(), 8) == kHdf5Signature;
}

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
    table.row({entry.name, safetensors_dtype(entry.dtype),
               fmt::format("[{}]", fmt::join(entry.shape, ", ")),
               with_commas(static_cast<std::int64_t>(entry.end - entry.begin))});
  }
  fmt::print("{}: safetensors, {} tensors, {} values\n{}", path, file.entries().size(),
             with_commas(elements), table.text());
  for (const auto& [key, value] : file.metadata()) {
    fmt::print("  {}: {}\n", key, value.size() > 200 ? value.substr(0, 200) + " …" : value);
  }
}

void print_run(const RunFolder& folder) {
  const auto state = [](const std::filesystem::path& path) {
    return std::filesystem::exists(path)
               ? bytes_text(static_cast<std::int64_t>(std::filesystem::file_size(path)))
               : std::string("-");
  };
  TextTable table({"file", ">size"});
  for (const std::filesystem::path& path :
       {folder.resolved_configuration(), folder.metrics(), folder.summary(), folder.last_weights(),
        folder.best_weights()}) {
    table.row({path.filename().string(), state(path)});
  }
  fmt::print("{}: a run, {}\n{}", folder.path().string(),
             std::filesystem::exists(folder.summary()) ? "finished" : "not finished", table.text());
  const std::string checkpoints = list_checkpoints(folder.checkpoints().string());
  if (!checkpoints.empty()) {
    fmt::print("checkpoints\n{}", checkpoints);
  }
}

ExitStatus inspect(const std::vector<std::string>& command_line) {
  const std::optional<ArgumentParser::Parsed> parsed = make_parser().parse(command_line);
  if (!parsed) {
    return ExitStatus::kDone;
  }
  const ArgumentParser::Parsed& arguments = *parsed;
  const std::string path = arguments["FILE"];
  if (CheckpointWeights::is_at(path)) {
    fmt::print("{}", describe_checkpoint(path));
  } else if (std::filesystem::is_directory(path)) {
    const RunFolder folder(path);
    if (!folder.holds_a_run()) {
      throw InputError(fmt::format("{}: this folder holds no run and no checkpoint", path));
    }
    print_run(folder);
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
