#include "launch/run/data_opening.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <optional>
#include <span>

#include "core/base/error.h"
#include "core/base/file_use.h"
#include "core/base/stopwatch.h"
#include "core/base/text_bytes.h"
#include "core/data/dataset.h"
#include "core/data/split.h"
#include "core/parallel/step_monitor.h"
#include "launch/job/child_process.h"
#include "launch/job/memory_file.h"
#include "launch/terminal/screen.h"

namespace thaw {
namespace {

constexpr const char* kProgram = "thaw-hdf5-probe";
/// So few that a file system which answers has done with them within any sensible deadline.
constexpr std::size_t kFilesAtOnce = 8;
/// What a shell says of a program that could not be started: its libraries are missing, say.
constexpr int kNotStarted = 127;

std::filesystem::path program_path() {
  std::error_code error;
  const std::filesystem::path command = std::filesystem::read_symlink("/proc/self/exe", error);
  return command.parent_path() / kProgram;
}

/// The program's status as a shell has it; nothing where it cannot be started. Its errors go to
/// `errors`.
std::optional<int> run(const std::string& program, const std::vector<std::string>& arguments,
                       int errors) {
  const Descriptor nothing = Descriptor::nothing();
  ProcessRequest request{.command = {program},
                         .input = nothing.number(),
                         .output = nothing.number(),
                         .errors = errors};
  request.command.insert(request.command.end(), arguments.begin(), arguments.end());
  try {
    return ChildProcess(request).wait();
  } catch (const ProcessNotStarted&) {
    return std::nullopt;
  }
}

/// `end_is_told`: also where nothing was told before.
DecodeProgress progress_of(const char* action, bool end_is_told, int rank, StepMonitor* monitor) {
  if (rank != 0 && monitor == nullptr) {
    return {};
  }
  return [=, watch = Stopwatch(), terminal = watched_on_terminal(), told = false](
             const std::string& what, std::int64_t done, std::int64_t total) mutable {
    if (monitor != nullptr) {
      monitor->tick();
    }
    if (rank != 0) {
      return;
    }
    const bool finished = done >= total;
    const double patience = !end_is_told && !told ? 3.0 : terminal ? 0.1 : 5.0;
    if (finished ? !end_is_told && !told : watch.seconds() < patience) {
      return;
    }
    told = !finished;
    watch.lap();
    const double share =
        total > 0 ? 100.0 * static_cast<double>(done) / static_cast<double>(total) : 100.0;
    fmt::print(stderr, "{}{} {}: {:.0f} % of {:.0f} MB{}", terminal ? "\r\x1b[K" : "", action,
               printable(what), share, static_cast<double>(total) / 1e6,
               terminal && !finished ? "" : "\n");
    std::fflush(stderr);
  };
}

/// Real numbers may be anything, so they are taken as they are declared.
void tell_doubtful_layout(const Dataset& dataset) {
  if (!dataset.format().looks_channels_last()) return;
  fmt::print(stderr,
             "thaw: warning: {}: {} (channels, height, width) look like height, width, channels; "
             "if they are, store them as [samples, channels, height, width] (numpy: "
             ".transpose(0, 3, 1, 2))\n",
             printable(dataset.files().front()), dataset.format().describe());
}

/// What is learnt perfectly at once, and is seldom meant.
void tell_one_class(const Dataset& dataset) {
  if (!dataset.has_split("train") || dataset.label_type() != LabelType::kClass) return;
  const std::span<const std::int64_t> labels = dataset.split("train").labels().classes();
  if (std::any_of(labels.begin(), labels.end(),
                  [&](std::int64_t label) { return label != labels.front(); })) {
    return;
  }
  const auto only = static_cast<std::size_t>(labels.front());
  fmt::print(stderr,
             "thaw: warning: {}: all samples of train are of class \"{}\": there is nothing to "
             "tell apart\n",
             printable(dataset.files().front()), printable(dataset.classes().at(only)));
}

}  // namespace

void tell_doubtful(const Dataset& dataset) {
  tell_doubtful_layout(dataset);
  tell_one_class(dataset);
}

void try_data_files(const std::vector<std::string>& files) {
  const std::string program = program_path().string();
  std::string problems;
  for (std::size_t first = 0; first < files.size(); first += kFilesAtOnce) {
    const std::size_t count = std::min(kFilesAtOnce, files.size() - first);
    const auto begin = files.begin() + static_cast<std::ptrdiff_t>(first);
    const MemoryFile errors;
    const FileUse use("read", *begin);  // or one of the next: which, the program alone knows
    const std::optional<int> status =
        run(program, {begin, begin + static_cast<std::ptrdiff_t>(count)}, errors.descriptor());
    if (!status || *status == kNotStarted) {
      fmt::print(stderr,
                 "thaw: warning: {} cannot be started, so a damaged HDF5 file may crash this "
                 "command; it belongs beside it\n",
                 program);
      return;
    }
    if (*status == static_cast<int>(ExitStatus::kBadInput)) {
      if (!problems.empty()) problems += '\n';
      problems += errors.text();
    } else if (*status != static_cast<int>(ExitStatus::kDone)) {
      throw RunError(fmt::format("{} ended with status {}: {}", program, *status, errors.text()));
    }
  }
  if (!problems.empty()) throw InputError(problems);
}

void take_named_tokenizer(Dataset& dataset, const std::string& path) {
  if (path.empty() || dataset.format().kind != DataKind::kText) return;
  try {
    dataset.take_tokenizer(path);
  } catch (const InputError& error) {
    throw InputError(fmt::format("model.tokenizer: {}", error.what()));
  }
}

DecodeProgress decode_progress(int rank, StepMonitor* monitor) {
  return progress_of("decoding", /*end_is_told=*/true, rank, monitor);
}

DecodeProgress reading_progress(int rank, StepMonitor* monitor) {
  return progress_of("reading", /*end_is_told=*/false, rank, monitor);
}
}  // namespace thaw
