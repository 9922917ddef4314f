// Configuration: TOML, and after a byte 1, where there is one, the command line's arguments, a line
// each. What is accepted must read back as the identical configuration and schedule from what Thaw
// writes of it.

#include <fmt/format.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/error.h"
#include "core/config/configuration_document.h"
#include "core/config/flags.h"
#include "core/schedule/resolve_schedule.h"
#include "core/schedule/toml/schedule_writer.h"

namespace {

constexpr char kArguments = '\1';
constexpr std::int64_t kSamples = 1000;

const std::vector<std::string>& groups() {
  static const std::vector<std::string> groups = {"embeddings", "encoder.0", "encoder.1",
                                                  "encoder.2", "head"};
  return groups;
}

std::vector<thaw::Override> overrides_in(std::string_view text) {
  std::vector<std::string> arguments;
  while (!text.empty()) {
    const std::size_t end = text.find('\n');
    arguments.emplace_back(text.substr(0, end));
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  }
  return thaw::take_overrides(arguments);
}

const thaw::MetricNames& metrics() {
  using Mode = thaw::MetricRule::Mode;
  static const thaw::MetricNames names =
      thaw::metric_names({{"accuracy", Mode::kMax, 0, 1}, {"macro-f1", Mode::kMax, 0, 1}});
  return names;
}

/// Everything that the text says, explicit, for data with a validation split or without.
std::string explicit_text(std::string_view text, const std::vector<thaw::Override>& overrides,
                          bool has_validation) {
  const auto document = thaw::parse_configuration(text, "a.toml", overrides);
  return thaw::write_configuration_toml(
      document.configuration,
      thaw::resolve_schedule(document, groups(), kSamples, has_validation, metrics()));
}

void check(std::string_view text, const std::vector<thaw::Override>& overrides,
           bool has_validation) {
  std::string written;
  try {
    written = explicit_text(text, overrides, has_validation);
  } catch (const thaw::InputError& error) {
    if (std::string_view(error.what()).empty()) std::abort();
    return;
  }
  std::string again;
  try {
    again = explicit_text(written, {}, has_validation);
  } catch (const thaw::InputError& error) {
    again = error.what();
  }
  if (again != written) {
    fmt::print(stderr, "written:\n{}\nread back:\n{}\n", written, again);
    std::abort();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const std::string_view text = input.substr(0, input.find(kArguments));
  std::vector<thaw::Override> overrides;
  if (text.size() < input.size()) {
    try {
      overrides = overrides_in(input.substr(text.size() + 1));
    } catch (const thaw::InputError&) {
      return 0;
    }
  }
  check(text, overrides, true);
  check(text, overrides, false);
  return 0;
}
