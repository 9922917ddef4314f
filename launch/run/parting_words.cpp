#include "launch/run/parting_words.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <utility>

namespace thaw {
namespace {

// What is said is written by the training thread and read by a handler on any thread: into a ring,
// so that what is being read is overwritten only by the fourth checkpoint after it.
constexpr std::size_t kMostBytes = 2048;
std::array<std::array<char, kMostBytes>, 4> word_texts;
std::size_t next_text = 0;
std::atomic<const char*> current_words{nullptr};
static_assert(std::atomic<const char*>::is_always_lock_free, "read in a signal handler");

extern "C" void say_parting_words(int) {
  const int error = errno;
  if (const char* text = current_words.exchange(nullptr)) {
    [[maybe_unused]] const ssize_t written = write(STDERR_FILENO, text, std::strlen(text));
  }
  // Nobody has taken the signal over and handed it on: it ends the process, as it would have.
  struct sigaction now = {};
  if (sigaction(SIGTERM, nullptr, &now) == 0 && now.sa_handler == say_parting_words) {
    now.sa_handler = SIG_DFL;
    sigaction(SIGTERM, &now, nullptr);
    raise(SIGTERM);
  }
  errno = error;
}

void set_words(const std::string& text) {
  std::array<char, kMostBytes>& place = word_texts[next_text];
  next_text = (next_text + 1) % word_texts.size();
  const std::size_t size = std::min(text.size(), kMostBytes - 1);
  std::copy_n(text.begin(), size, place.begin());
  place[size] = '\0';
  current_words = place.data();
}

}  // namespace

PartingWords::PartingWords(std::filesystem::path run_folder, int ranks)
    : run_folder_(std::move(run_folder)), ranks_(ranks) {
  say("it has saved nothing yet");
}

PartingWords::~PartingWords() { current_words = nullptr; }

void PartingWords::checkpoint(const CheckpointReport& report) {
  if (report.problem.empty()) safe(report.step);
}

void PartingWords::resume(const ResumeReport& report) { safe(report.step); }

void PartingWords::safe(std::int64_t step) {
  say(fmt::format("safe is the checkpoint at step {}, and the same command goes on from there",
                  step));
}

void PartingWords::say(const std::string& what) {
  set_words(
      fmt::format("\nthaw: the job in {} is being ended, without time to save: {}.\nthaw: nothing "
                  "is lost with \"thaw launch -n {} -- train ...\", where Ctrl-C "
                  "saves, or by \"touch {}/stop\"\n",
                  run_folder_.string(), what, ranks_, run_folder_.string()));
}

void hear_of_the_end() {
  struct sigaction action = {};
  action.sa_handler = say_parting_words;
  action.sa_flags = SA_RESTART;
  sigemptyset(&action.sa_mask);
  sigaction(SIGTERM, &action, nullptr);
}

}  // namespace thaw
