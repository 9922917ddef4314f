#include "core/base/progress/notice.h"

#include <cstdio>
#include <mutex>
#include <string>
#include <utility>

namespace thaw {
namespace {

std::mutex line_mutex;
bool line_is_shown = false;  ///< guarded by `line_mutex`

constexpr std::string_view kToItsStart = "\r\x1b[K";

/// In one piece: what other processes write to the same terminal comes before or after it.
void put(const std::string& text) {
  std::fwrite(text.data(), 1, text.size(), stderr);
  std::fflush(stderr);
}

}  // namespace

void say(std::string_view text) {
  const std::lock_guard lock(line_mutex);
  put((line_is_shown ? std::string(kToItsStart) : std::string()) + std::string(text));
  line_is_shown = false;
}

void show_moving_line(std::string_view text) {
  const std::lock_guard lock(line_mutex);
  put(std::string(kToItsStart) + std::string(text));
  line_is_shown = true;
}

bool clear_moving_line() {
  const std::lock_guard lock(line_mutex);
  const bool shown = std::exchange(line_is_shown, false);
  if (shown) put(std::string(kToItsStart));
  return shown;
}

}  // namespace thaw
