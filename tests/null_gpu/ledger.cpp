#include "tests/null_gpu/ledger.h"

#include <cxxabi.h>
#include <execinfo.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string_view>

namespace null_gpu {
namespace {

constexpr std::size_t kFaultsKept = 100;

std::string quoted(const std::string& text) {
  std::string result = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') result += '\\';
    result += static_cast<unsigned char>(c) < ' ' ? ' ' : c;
  }
  return result + "\"";
}

std::string object(const std::map<std::string, long>& values) {
  std::string result = "{";
  for (const auto& [name, value] : values) {
    result +=
        (result.size() > 1 ? ",\n    " : "\n    ") + quoted(name) + ": " + std::to_string(value);
  }
  return result + "}";
}

std::string array(const std::vector<std::string>& values) {
  std::string result = "[";
  for (const std::string& value : values) {
    result += (result.size() > 1 ? ",\n    " : "\n    ") + quoted(value);
  }
  return result + "]";
}

/// Writes the report when the process ends, whichever library is unloaded first.
const struct AtExit {
  AtExit() {
    std::atexit([] { Ledger::get().write_report(); });
  }
} at_exit;

}  // namespace

Ledger& Ledger::get() {
  static auto* ledger = new Ledger;  // outlives what is destroyed at the end
  return *ledger;
}

void Ledger::count(const std::string& what, long by) {
  const std::lock_guard lock(mutex_);
  counts_[what] += by;
}

void Ledger::work(const std::string& kind, const std::string& name, long times) {
  const std::lock_guard lock(mutex_);
  counts_["work"] += times;
  counts_[kind] += times;
  names_[kind + " " + name] += times;
}

void Ledger::fault(const std::string& text) {
  {
    const std::lock_guard lock(mutex_);
    ++counts_["faults"];
    if (faults_.size() < kFaultsKept) faults_.push_back(text);
  }
  std::fprintf(stderr, "null GPU: %s\n%s", text.c_str(), stack_text().c_str());
  const char* what = std::getenv("NULL_GPU_FAULTS");
  if (what && std::string_view(what) == "abort") std::abort();
}

void Ledger::collective(const std::string& text) {
  const std::lock_guard lock(mutex_);
  collectives_.push_back(text);
}

long Ledger::value(const std::string& what) {
  const std::lock_guard lock(mutex_);
  const auto it = counts_.find(what);
  return it == counts_.end() ? 0 : it->second;
}

std::vector<std::string> Ledger::faults() {
  const std::lock_guard lock(mutex_);
  return faults_;
}

void Ledger::clear() {
  const std::lock_guard lock(mutex_);
  counts_.clear();
  names_.clear();
  faults_.clear();
  collectives_.clear();
}

void Ledger::write_report() {
  const char* folder = std::getenv("NULL_GPU_REPORT");
  const std::lock_guard lock(mutex_);
  if (!folder || counts_.empty()) return;
  const char* rank = std::getenv("OMPI_COMM_WORLD_RANK");
  const std::string path = std::string(folder) + "/rank-" + (rank ? rank : "0") + ".pid-" +
                           std::to_string(getpid()) + ".json";
  std::FILE* file = std::fopen(path.c_str(), "w");
  if (!file) {
    std::perror(path.c_str());
    return;
  }
  std::fprintf(file,
               "{\"counts\": %s,\n  \"faults\": %s,\n  \"collectives\": %s,\n  \"names\": %s}\n",
               object(counts_).c_str(), array(faults_).c_str(), array(collectives_).c_str(),
               object(names_).c_str());
  std::fclose(file);
}

std::string demangled(const std::string& name) {
  int status = 0;
  const std::unique_ptr<char, void (*)(void*)> text(
      abi::__cxa_demangle(name.c_str(), nullptr, nullptr, &status), std::free);
  return text ? std::string(text.get()) : name;
}

std::string stack_text() {
  constexpr int kDepth = 40;
  void* frames[kDepth];
  const int depth = backtrace(frames, kDepth);
  const std::unique_ptr<char*, void (*)(void*)> symbols(backtrace_symbols(frames, depth),
                                                        std::free);
  std::string result;
  for (int i = 1; i < depth; ++i) {  // library(mangled+offset) [address]
    const std::string line = symbols.get()[i];
    const std::size_t open = line.find('(');
    const std::size_t plus = line.find('+', open);
    if (open == std::string::npos || plus == std::string::npos || plus == open + 1) continue;
    const std::string name = demangled(line.substr(open + 1, plus - open - 1));
    if (name.find("null_gpu::") == std::string::npos) {
      result += "    " + name.substr(0, kLongestName) + "\n";
    }
  }
  return result;
}

}  // namespace null_gpu
