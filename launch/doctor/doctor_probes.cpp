#include "launch/doctor/doctor_probes.h"

#include <ATen/ops/ones.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <memory>
#include <optional>
#include <thread>

#include "core/base/numbers.h"
#include "core/base/stopwatch.h"
#include "core/parallel/communicator.h"
#include "dist/communicator/gpu_choice.h"
#include "dist/communicator/host_topology.h"
#include "dist/communicator/nccl/nccl_communicator.h"
#include "launch/command/version.h"

namespace thaw {
namespace {

namespace fs = std::filesystem;

std::string system_error() { return std::strerror(errno); }

/// A file of this rank's own that is gone when it is.
class ProbeFile {
 public:
  explicit ProbeFile(const fs::path& path)
      : path_(path), file_(open(path.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600)) {
    if (file_ < 0) problem_ = system_error();
  }
  ~ProbeFile() {
    if (file_ < 0) return;
    close(file_);
    std::error_code ignored;  // a file of a few bytes that is left says nothing wrong
    fs::remove(path_, ignored);
  }
  ProbeFile(const ProbeFile&) = delete;
  ProbeFile& operator=(const ProbeFile&) = delete;

  const std::string& problem() const { return problem_; }

  /// Seconds to write and make safe so many bytes; negative where that failed.
  double write(std::size_t bytes) {
    const std::vector<char> data(bytes, 'x');
    const Stopwatch watch;
    if (pwrite(file_, data.data(), bytes, 0) != static_cast<ssize_t>(bytes) || fsync(file_) != 0) {
      problem_ = system_error();
      return -1;
    }
    return watch.seconds();
  }

  /// HDF5 locks whole files by fcntl or flock.
  std::string lock_problem() const {
    struct flock lock {};
    lock.l_type = F_WRLCK;
    lock.l_whence = SEEK_SET;
    return fcntl(file_, F_SETLK, &lock) == 0 ? "" : system_error();
  }

 private:
  fs::path path_;
  int file_;
  std::string problem_;
};

/// What this rank can do in the folder: write, lock, and how fast what it writes is safe.
void probe_own_file(RankFacts& facts, const fs::path& path) {
  ProbeFile file(path);
  facts.folder_problem = file.problem();
  if (!facts.folder_problem.empty()) return;
  facts.lock_problem = file.lock_problem();
  std::vector<double> small;
  for (int i = 0; i < 5; ++i) small.push_back(file.write(4096));
  facts.fsync_seconds = median(small);
  constexpr std::size_t kLarge = 32 << 20;
  facts.write_bytes_per_second = static_cast<double>(kLarge) / file.write(kLarge);
  facts.folder_problem = file.problem();
}

/// Network file systems show others' files after some seconds.
bool appears(const fs::path& path) {
  for (int i = 0; i < 50; ++i) {
    if (fs::exists(path)) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
  }
  return false;
}

/// A collective: rank 0 makes the folder, if need be, and a file in it, which the others look for;
/// each then tries a file of its own. All of them are gone afterwards.
void probe_folder(RankFacts& facts, const std::string& folder, Communicator& communicator) {
  std::error_code error;
  const bool made = communicator.rank() == 0 && fs::create_directories(folder, error);
  if (error) facts.folder_problem = error.message();
  const std::string token = communicator.broadcast(
      fmt::format(".thaw-doctor-{}", std::chrono::system_clock::now().time_since_epoch().count()),
      0);
  const fs::path shared = fs::path(folder) / token;
  if (communicator.rank() == 0) std::ofstream(shared) << "rank 0 was here\n";
  communicator.barrier();
  facts.sees_the_others_file = appears(shared);
  if (facts.folder_problem.empty()) {
    probe_own_file(facts, shared.string() + fmt::format("-{}", communicator.rank()));
  }
  communicator.barrier();
  if (communicator.rank() == 0) {
    fs::remove(shared, error);
    if (made) fs::remove(folder, error);  // only where it is empty
  }
}

/// Bytes free in /dev/shm, which ranks of one host talk through; -1 where there is none.
std::int64_t free_shared_memory() {
  struct statvfs facts {};
  if (statvfs("/dev/shm", &facts) != 0) return -1;
  return static_cast<std::int64_t>(facts.f_bavail) * static_cast<std::int64_t>(facts.f_frsize);
}

}  // namespace

RankFacts probe_rank(const HostTopology& topology, const std::string& folder,
                     Communicator& communicator) {
  const GpuSupply gpus = gpu_supply();
  RankFacts facts;
  facts.host = topology.host(communicator.rank());
  facts.local_rank = topology.local_rank;
  facts.local_size = topology.local_size;
  facts.cores = static_cast<std::int64_t>(topology.cores.size());
  facts.cores_of_host = sysconf(_SC_NPROCESSORS_ONLN);
  facts.threads = topology.threads;
  facts.core_list = list_of_cores(topology.cores);
  facts.gpus = gpus.count;
  facts.built_with_cuda = gpus.built_with_cuda;
  facts.versions = version_line();
  facts.shared_memory_bytes = free_shared_memory();
  probe_folder(facts, folder, communicator);
  return facts;
}

std::vector<BandwidthFacts> probe_sums(Communicator& communicator, c10::Device device) {
  std::vector<BandwidthFacts> sums;
  if (communicator.size() == 1) return sums;
  for (const std::int64_t mebibytes : {1, 8, 32}) {
    constexpr int kRounds = 7;
    constexpr double kEnough = 2;  // seconds of one size, over a slow network
    BandwidthFacts facts{mebibytes << 20, 0};
    at::Tensor values = at::ones({facts.bytes / 4}, device);
    std::vector<double> seconds, spent = {0};
    const Stopwatch all;
    for (int round = 0; round < kRounds && (round < 2 || spent[0] < kEnough); ++round) {
      communicator.barrier();
      const Stopwatch watch;
      communicator.all_reduce(values);
      seconds.push_back(watch.seconds());
      values.fill_(1);
      spent[0] = all.seconds();
      broadcast_numbers(communicator, spent);  // rank 0 decides for all
    }
    facts.seconds = median(seconds);
    sums.push_back(facts);
  }
  return sums;
}

std::vector<BandwidthFacts> probe_gpu_sums(const HostTopology& topology,
                                           Communicator& communicator) {
  if (communicator.size() == 1) return {};
  const std::optional<int> gpu =
      agreed_gpu(communicator, topology, DeviceChoice::kAuto, gpu_supply());
  if (!gpu) return {};
  const std::unique_ptr<Communicator> gpus = make_gpu_communicator(communicator, topology, *gpu);
  return probe_sums(*gpus, {c10::kCUDA, static_cast<c10::DeviceIndex>(*gpu)});
}

}  // namespace thaw
