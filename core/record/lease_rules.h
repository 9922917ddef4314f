#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace thaw {

/// Who holds a folder: what a lease file says.
struct LeaseRecord {
  std::uint64_t count = 0;  ///< of renewals: moves as long as the holder lives
  bool held = true;         ///< false: given back
  std::string owner;        ///< of this lease alone, for ever
  std::string host;
  std::string system;  ///< in which `process` means something; see `this_system` in lease_process.h
  std::int64_t process = 0;   ///< its number
  std::uint64_t started = 0;  ///< when, in the kernel's ticks: numbers are used again
  std::string batch_job;      ///< its number in Slurm; "" outside
};

/// The file's text. Equally long whatever `count` and `held` are, so that it can be renewed in
/// place. What is no printable ASCII becomes '?'.
std::string lease_text(const LeaseRecord& record);
/// Nothing where it is no lease, or one cut short.
std::optional<LeaseRecord> parse_lease(const std::string& text);
/// "process 12 on node3 (Slurm job 7)".
std::string lease_holder(const LeaseRecord& record);

/// What this process can tell of a holder's.
enum class HolderSight {
  kElsewhere,  ///< on another system: nothing
  kRuns,
  kEnding,  ///< killed, and not yet cleared away
  kGone,
};

/// What somebody who wants a folder has seen of its lease.
struct LeaseSight {
  bool exists = false;  ///< there is a lease file
  /// Empty where the file could not be understood: its writer may be between two instants of it.
  std::optional<LeaseRecord> record;
  HolderSight holder = HolderSight::kElsewhere;
  bool moved = false;        ///< the file has changed since it was first looked at
  double still_seconds = 0;  ///< between two looks at the very same content, by the looker's clock
};

enum class LeaseVerdict { kTake, kWatch, kRefuse };

/// May this process take the lease? A holder on this system is known to live or not. Of any other
/// one only the count tells: it is dead once that has not moved for the whole of `time_out`
/// seconds. No clock is compared with another host's, or with itself across a jump. Pure.
LeaseVerdict judge_lease(const LeaseSight& sight, double time_out);

}  // namespace thaw
