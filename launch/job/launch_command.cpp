#include "launch/job/launch_command.h"

#include <fmt/format.h>

#include <algorithm>
#include <csignal>
#include <cstdint>
#include <cstdlib>

#include "core/base/error.h"
#include "launch/command/arguments.h"

namespace thaw {
namespace {

constexpr std::int64_t kMostRestarts = 1'000'000;

int number_of(const std::string& option, const std::string& text, int least, std::int64_t most) {
  return static_cast<int>(whole_number_of(option, text, least, most));
}

/// Lives at the end that brought no newer checkpoint than the one before them.
std::size_t lives_without_progress(const std::vector<JobLife>& lives) {
  std::size_t count = 0;
  for (std::size_t i = lives.size(); i-- > 0;) {
    const std::int64_t saved_before = i == 0 ? -1 : lives[i - 1].saved_step;
    if (lives[i].saved_step > saved_before) break;
    ++count;
  }
  return count;
}

}  // namespace

LaunchRequest parse_launch(const std::vector<std::string>& arguments) {
  LaunchRequest request;
  const auto dashes = std::find(arguments.begin(), arguments.end(), "--");
  for (auto each = arguments.begin(); each != dashes; ++each) {
    const bool takes_number = *each == "-n" || *each == "-np" || *each == "--restarts";
    if (*each == "--help" || *each == "-h") {
      request.help = true;
    } else if (!takes_number) {
      request.mpirun_options.push_back(*each);
    } else if (std::next(each) == dashes) {
      throw InputError(fmt::format("launch: {} needs a number", *each));
    } else if (*each == "--restarts") {
      request.restarts = number_of(*each, *std::next(each), 0, kMostRestarts);
      ++each;
    } else {
      request.ranks = number_of(*each, *std::next(each), 1, kMostRanks);
      ++each;
    }
  }
  if (request.help) return request;
  if (dashes != arguments.end()) request.subcommand.assign(std::next(dashes), arguments.end());
  if (request.ranks == 0) throw InputError("launch: how many ranks? give -n N");
  if (request.subcommand.empty()) {
    throw InputError("launch: what to run stands behind --: thaw launch -n 4 -- train CONFIG.toml");
  }
  return request;
}

std::vector<std::string> mpirun_command(std::int64_t ranks) {
  const char* given = std::getenv("THAW_MPIEXEC");
  const bool is_given = given != nullptr && *given != '\0';
  return {is_given ? given : "mpirun", "-n", std::to_string(ranks)};
}

int status_of_job(int status, bool asked_to_stop) {
  return asked_to_stop && status == 128 + SIGUSR1 ? static_cast<int>(ExitStatus::kRequeue) : status;
}

bool start_again(const std::vector<JobLife>& lives, int restarts, bool asked_to_stop) {
  const int status = lives.back().status;
  const bool is_final = status == static_cast<int>(ExitStatus::kDone) ||
                        status == static_cast<int>(ExitStatus::kBadInput) ||
                        status == static_cast<int>(ExitStatus::kRequeue);
  if (is_final || asked_to_stop) return false;
  if (lives.size() > static_cast<std::size_t>(restarts)) return false;
  // The first life is no restart.
  return std::min(lives_without_progress(lives), lives.size() - 1) < 2;
}

double back_off_seconds(const std::vector<JobLife>& lives) {
  const std::size_t doublings = std::min<std::size_t>(lives_without_progress(lives), 6);
  return std::min(60.0, static_cast<double>(std::size_t{1} << doublings));
}

}  // namespace thaw
