#include "launch/price/saving_speed.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <ctime>
#include <filesystem>
#include <system_error>

#include "core/base/error.h"
#include "core/base/stopwatch.h"
#include "core/base/whole_file.h"

namespace thaw {
namespace {

namespace fs = std::filesystem;

/// `path`, or the nearest folder above it that is there.
fs::path existing_folder(fs::path path) {
  std::error_code error;
  path = fs::absolute(path, error);
  while (!fs::is_directory(path, error) && path.has_relative_path()) path = path.parent_path();
  return path;
}

/// That this thread has had of a processor, the kernel's work for it included.
double processor_seconds() {
  timespec now{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

}  // namespace

std::optional<SavingSpeed> measure_saving(const std::string& run_dir) {
  constexpr std::size_t kBytes = 16 << 20;
  const fs::path file =
      existing_folder(run_dir.empty() ? "runs" : run_dir) / fmt::format(".thaw-price.{}", getpid());
  Stopwatch watch;
  const std::string bytes(kBytes, 'x');
  const double copied = watch.lap();
  const double before = processor_seconds();
  try {
    write_whole_file(file, bytes);
  } catch (const RunError&) {
    return std::nullopt;  // the price says that saving is left out
  }
  constexpr auto kEach = static_cast<double>(kBytes);
  const SavingSpeed speed{.write = watch.seconds() / kEach,
                          .processor = (processor_seconds() - before) / kEach,
                          .copy = copied / kEach};
  std::error_code error;
  fs::remove(file, error);
  return speed;
}

double saving_seconds(const StageSaving& stage, const SavingSpeed& speed) {
  const double checkpoint = stage.weights + stage.state;
  const std::int64_t waited = stage.asynchronous
                                  ? std::min<std::int64_t>(stage.last ? 1 : 0, stage.checkpoints)
                                  : stage.checkpoints;
  const double beside = stage.all_compute ? speed.processor : 0;
  const double shared = static_cast<double>(stage.checkpoints) * speed.copy +
                        static_cast<double>(stage.checkpoints - waited) * beside;
  return stage.weights * (static_cast<double>(stage.best) + (stage.last ? 1 : 0)) * speed.write +
         checkpoint * (static_cast<double>(waited) * speed.write +
                       shared / static_cast<double>(stage.ranks));
}

}  // namespace thaw
