#include <fmt/chrono.h>
#include <fmt/format.h>

#include <chrono>
#include <ctime>
#include <filesystem>
#include <optional>
#include <thread>

#include "core/base/error.h"
#include "core/base/text_bytes.h"
#include "core/base/whole_file.h"
#include "launch/command/arguments.h"
#include "launch/command/subcommand.h"
#include "launch/command/version.h"
#include "launch/job/job.h"
#include "launch/job/stop_signals.h"
#include "launch/report/report_page.h"
#include "launch/report/report_run.h"

namespace thaw {

ArgumentParser report_parser() {
  ArgumentParser parser(
      "report RUN... [--watch] [--output FILE.html]",
      "Writes one page of HTML that needs nothing else: loss and metrics with the stages, training "
      "beside validation and what that says, how far each group moved, where time went. Several "
      "runs "
      "are laid over each other.");
  parser.positionals("RUN", "folders of runs");
  parser.option("output", "the page; default: RUN/report.html, of several runs report.html here");
  parser.flag("watch",
              "writes it anew as the runs go on, until they end or Ctrl-C; the page in a browser "
              "follows");
  return parser;
}

namespace {

namespace fs = std::filesystem;

// How often the logs are looked at while runs go on, and pages in a browser load themselves anew.
constexpr auto kLook = std::chrono::milliseconds(500);
constexpr int kReloadSeconds = 5;

/// What tells whether a run has gone on: the size of its log and of its summary.
std::vector<std::uintmax_t> sizes_of(const std::vector<std::string>& folders) {
  std::vector<std::uintmax_t> sizes;
  for (const std::string& folder : folders) {
    for (const char* file : {"metrics.jsonl", "summary.json"}) {
      std::error_code error;
      const std::uintmax_t size = fs::file_size(fs::path(folder) / file, error);
      sizes.push_back(error ? 0 : size);
    }
  }
  return sizes;
}

class ReportPage {
 public:
  ReportPage(std::vector<std::string> folders, fs::path output)
      : folders_(std::move(folders)), output_(std::move(output)) {}

  /// Returns whether one of the runs goes on.
  bool write(bool watched) const {
    std::vector<ReportRun> runs;
    bool running = false;
    for (const std::string& folder : folders_) {
      runs.push_back(read_report_run(folder));
      running = running || runs.back().state == "running";
    }
    const PageOptions options{
        .reload_seconds = watched && running ? kReloadSeconds : 0,
        .made = fmt::format("Made {:%Y-%m-%d %H:%M:%S} by {}", fmt::localtime(std::time(nullptr)),
                            version_line())};
    write_whole_file(output_, report_page(runs, options));
    return running;
  }

 private:
  std::vector<std::string> folders_;
  fs::path output_;
};

/// Until no run goes on, or somebody asks to stop.
void watch(const ReportPage& page, const std::vector<std::string>& folders) {
  const StopSignals signals(/*terminations=*/true);
  std::vector<std::uintmax_t> before;
  while (true) {
    const std::vector<std::uintmax_t> now = sizes_of(folders);
    if (before != now) {
      before = now;
      if (!page.write(/*watched=*/true)) return;
    }
    // A run that was killed writes nothing more: its lease tells.
    for (int i = 0; i < 20 && sizes_of(folders) == before; ++i) {
      if (StopSignals::came()) {
        page.write(/*watched=*/false);
        return;
      }
      std::this_thread::sleep_for(kLook);
    }
    if (sizes_of(folders) == before && !page.write(/*watched=*/true)) return;
  }
}

ExitStatus report(const std::vector<std::string>& command_line) {
  const std::optional<ArgumentParser::Parsed> arguments = report_parser().parse(command_line);
  if (!arguments) return ExitStatus::kDone;
  const std::vector<std::string> folders = arguments->all("RUN");
  fs::path output = (*arguments)["output"];
  if (output.empty())
    output = folders.size() == 1 ? fs::path(folders[0]) / "report.html" : "report.html";
  const ReportPage page(folders, output);
  const bool running = page.write(arguments->has("watch"));
  fmt::print("{}\n", printable(output.string()));
  std::fflush(stdout);
  if (running && arguments->has("watch")) watch(page, folders);
  return ExitStatus::kDone;
}

}  // namespace

int run_report(std::vector<std::string> arguments) {
  return run_alone([&] { return report(arguments); });
}

}  // namespace thaw
