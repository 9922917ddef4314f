#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace thaw {

/// What `thaw doctor` learned of one rank and of its host.
struct RankFacts {
  std::string host;
  int local_rank = 0, local_size = 1;
  std::int64_t cores = 0;  ///< that it may run on
  std::int64_t cores_of_host = 0;
  std::int64_t threads = 0;  ///< that it computes with
  std::string core_list;     ///< "0-3,8"
  int gpus = 0;              ///< that it sees
  bool built_with_cuda = false;
  std::string versions;                  ///< of Thaw and what it runs on
  std::int64_t shared_memory_bytes = 0;  ///< free in /dev/shm; -1: there is none
  // Of the folder that runs are kept in:
  std::string folder_problem;         ///< why it cannot be written; "" where it can
  bool sees_the_others_file = true;   ///< what rank 0 wrote there
  std::string lock_problem;           ///< why a file cannot be locked there; "" where it can
  double fsync_seconds = 0;           ///< of a small file, median
  double write_bytes_per_second = 0;  ///< with fsync
};

/// Sums over all ranks.
struct BandwidthFacts {
  std::int64_t bytes = 0;
  double seconds = 0;  ///< median
  /// What each rank sends and receives in a ring, 2 (n - 1) / n of the bytes, over the time.
  double bytes_per_second(std::int64_t ranks) const;
};

/// Something that will hurt, and what to do about it.
struct Finding {
  bool fault = true;  ///< false: worth knowing
  std::string what;
  std::string fix;
};

/// What is wrong with the job's surroundings. Pure. `folder`: its name.
std::vector<Finding> doctor_findings(const std::vector<RankFacts>& ranks,
                                     const std::vector<BandwidthFacts>& sums,
                                     const std::string& folder);

/// {0, 1, 2, 5} as "0-2,5".
std::string list_of_cores(const std::vector<int>& cores);

}  // namespace thaw
