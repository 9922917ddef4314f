#pragma once

#include <map>
#include <mutex>
#include <string>
#include <vector>

namespace null_gpu {

/// What a process has done with its GPUs: counts by name, what each piece of work was called, and
/// faults. Written as JSON when the process ends, into the folder NULL_GPU_REPORT, as
/// rank-R.pid-P.json. Every function may be called on any thread.
class Ledger {
 public:
  static Ledger& get();

  void count(const std::string& what, long by = 1);
  /// A piece of work for the device, by kind ("kernel", "gemm", …) and name; counts `work` too.
  void work(const std::string& kind, const std::string& name, long times = 1);
  /// Something that is wrong on a real GPU too. Said on standard error at once, with the calls that
  /// led to it; NULL_GPU_FAULTS=abort also ends the process.
  void fault(const std::string& text);
  /// The collectives in their order, which must be alike on all ranks.
  void collective(const std::string& text);

  long value(const std::string& what);
  std::vector<std::string> faults();
  /// For tests of the library itself.
  void clear();
  void write_report();

 private:
  std::mutex mutex_;
  std::map<std::string, long> counts_;
  std::map<std::string, long> names_;
  std::vector<std::string> faults_;
  std::vector<std::string> collectives_;
};

/// Characters of a name in a report: those of templates would fill pages.
inline constexpr std::size_t kLongestName = 200;

/// A name as in the source; what is no mangled name stays as it is.
std::string demangled(const std::string& name);

/// The names of the functions on the stack, the innermost first, one a line.
std::string stack_text();

}  // namespace null_gpu
