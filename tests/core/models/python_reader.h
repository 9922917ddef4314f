#pragma once

#include <sys/wait.h>

#include <array>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "tests/support/paths.h"

namespace thaw {

/// What fixtures/python_reader.py prints for these arguments; nothing where the tests'
/// Python lacks the packages that it needs.
inline std::optional<nlohmann::json> ask_python(const std::vector<std::string>& arguments) {
  constexpr int kLacksPackages = 77;
  std::string command =
      "'" + test_python() + "' " + source_path("tests/core/models/fixtures/python_reader.py");
  for (const std::string& argument : arguments) {
    command += " '" + argument + "'";
  }
  FILE* pipe = ::popen(command.c_str(), "r");
  if (pipe == nullptr) {
    throw std::runtime_error("cannot run: " + command);
  }
  std::string output;
  std::array<char, 4096> buffer{};
  while (const std::size_t read = std::fread(buffer.data(), 1, buffer.size(), pipe)) {
    output.append(buffer.data(), read);
  }
  const int status = ::pclose(pipe);
  if (WIFEXITED(status) && WEXITSTATUS(status) == kLacksPackages) {
    return std::nullopt;
  }
  if (status != 0) {
    throw std::runtime_error("failed: " + command);
  }
  return nlohmann::json::parse(output);
}

}  // namespace thaw
