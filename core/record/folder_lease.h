#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include "core/record/lease_rules.h"

namespace thaw {

/// Names of lease files and of what becomes one begin so.
inline constexpr const char* kLeasePrefix = ".lease";

/// Which lease of a folder one has: enough for any process that sees the folder to tell whether it
/// is still the one that counts.
struct LeaseClaim {
  std::filesystem::path folder;
  std::uint64_t generation = 0;  ///< 0: none was ever taken, and nothing is checked
  std::string owner;

  /// To be called before anything is written into the folder. Throws RunError, naming the new
  /// holder, where another has taken the folder over. A folder that is gone, or whose lease files
  /// are, is nobody else's.
  void check() const;
};

/// How a lease is renewed and waited for. Tests are in a hurry.
struct LeaseTiming {
  std::chrono::milliseconds renew{2000};
  double time_out = 30;  ///< seconds; many renewals
  /// Called often while somebody else's lease is watched; may throw to give up.
  std::function<void()> waiting = {};
};

/// Holds a folder for this process, so that no other one works in it, on whatever host and file
/// system; renewed by a thread of its own. See Note [Leases] in folder_lease.cpp.
class FolderLease {
 public:
  /// Takes the lease of a folder that exists. Returns at once where nobody holds it or its holder
  /// was a process of this system that is gone. A holder elsewhere that no longer renews is
  /// watched for the time-out first; this is said on standard error. Throws InputError, naming the
  /// holder, where there is a living one; RunError where the file system fails.
  explicit FolderLease(std::filesystem::path folder, LeaseTiming timing = {});
  /// Gives it back.
  ~FolderLease();
  FolderLease(const FolderLease&) = delete;
  FolderLease& operator=(const FolderLease&) = delete;

  const LeaseClaim& claim() const { return claim_; }

 private:
  /// Makes the lease of this generation this process's; false where another was quicker.
  bool claim_generation(int folder, std::uint64_t generation);
  void renew_until_stopped();
  void write_record();

  LeaseClaim claim_;
  LeaseTiming timing_;
  LeaseRecord record_;
  int file_ = -1;  ///< of this lease alone: what is written here can be nobody else's
  std::mutex mutex_;
  std::condition_variable stop_;
  bool stopping_ = false;  ///< guarded by `mutex_`
  std::thread renewer_;
};

/// Who holds a folder, as words ("process 12 on node3"), for somebody who only wants to know: takes
/// nothing, writes nothing. Nothing where nobody does, or its holder was a process of this system
/// that is gone. A holder on another system is watched for up to `patience` seconds: it counts
/// where its lease moves meanwhile. Throws InputError for what is no lease, RunError where the file
/// system fails.
std::optional<std::string> holder_of_folder(const std::filesystem::path& folder,
                                            double patience = 5);

}  // namespace thaw
