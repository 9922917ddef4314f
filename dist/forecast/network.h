#pragma once

#include <cstdint>
#include <string>

#include "core/config/choices.h"

namespace thaw {

/// Between two ranks: seconds until the first byte of a message is there, and bytes a second then.
struct Link {
  double latency = 0;    ///< seconds
  double bandwidth = 0;  ///< bytes a second, in each direction at once

  friend bool operator==(const Link&, const Link&) = default;
};

/// Who sums, which decides by which algorithm: see Note [What a sum costs] in sum_seconds.cpp.
enum class SumLibrary : std::uint8_t { kMpi, kNccl };

/// A machine or a cluster, as cluster/networks/*.toml describes it: cluster/networks/README.md says
/// what each value is and how to measure it.
struct Network {
  std::string name;  ///< for people
  std::int64_t ranks_a_host = 1;
  Link inside;   ///< between two ranks of a host, while all of its ranks send
  Link between;  ///< between two hosts; all ranks of a host share it
  /// Bytes a second of `between` in each direction while both send, where that is less; 0: as one.
  double both_ways = 0;
  double rank_bandwidth = 0;  ///< bytes a second, most of `between` that one rank can use; 0: all
  double burst = 0;  ///< bytes that pass at once after a pause, where a shaper limits `between`
  SumLibrary library = SumLibrary::kMpi;
  double call_seconds = 0;   ///< what starting one sum costs, whatever its size
  double sum_bandwidth = 0;  ///< bytes a second at which a rank adds gradients up; 0: it is free
  double compute_rate = 1;   ///< of a rank, where the one that measured is 1
  /// Floating-point operations a second that a rank keeps up, in float32 and bfloat16: where they
  /// and those of the rank that measured are known, they tell the rate; 0: not said.
  double float32_flops = 0, bfloat16_flops = 0;
  /// On which the ranks of ALL hosts run, as those of virtual hosts; 0: each has its own.
  std::int64_t shared_cores = 0;
  /// Share of its speed that backward loses while something is summed beside it, 0 to 1.
  double overlap_cost = 0;
  bool on_gpus = false;     ///< ranks compute on GPUs: sums always run beside backward
  std::int64_t memory = 0;  ///< bytes that a rank may fill; 0: not said

  friend bool operator==(const Network&, const Network&) = default;
};

/// How ranks lie on hosts: neighbours together, full hosts first.
struct Placement {
  std::int64_t hosts = 1;
  std::int64_t on_host = 1;  ///< ranks of the fullest
};
Placement place(const Network& network, std::int64_t ranks);

/// Who computes.
struct ComputingRanks {
  std::int64_t ranks = 1;
  int threads = 1;  ///< of each
  Precision precision = Precision::kFloat32;
  double measured_flops = 0;  ///< operations a second of the rank that measured; 0: not known
};

/// How fast each of them computes, where the one that measured is 1.
double rate_of(const Network& network, const ComputingRanks& ranks);

}  // namespace thaw
