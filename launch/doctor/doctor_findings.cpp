#include "launch/doctor/doctor_findings.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <map>
#include <set>

#include "launch/run/process_setup.h"

namespace thaw {
namespace {

/// Seconds to make a small file safe; local disks need some milliseconds.
constexpr double kSlowFsync = 0.2;
constexpr double kSlowSum = 100e6;  ///< bytes a second: about a gigabit network
/// Bytes: what a few ranks' transport buffers take.
constexpr std::int64_t kLittleSharedMemory = 64 << 20;

std::string name_of(const std::vector<RankFacts>& ranks, std::size_t rank) {
  return fmt::format("rank {} (host {})", rank, ranks[rank].host);
}

/// One finding for all ranks that `wrong` says something about: what it says of the first.
template <typename Wrong>
void find(std::vector<Finding>& findings, const std::vector<RankFacts>& ranks, const Wrong& wrong,
          const std::string& fix, bool fault = true) {
  std::vector<std::size_t> affected;
  std::string what;
  for (std::size_t rank = 0; rank < ranks.size(); ++rank) {
    const std::string text = wrong(ranks[rank]);
    if (text.empty()) continue;
    if (affected.empty()) what = fmt::format("{} {}", name_of(ranks, rank), text);
    affected.push_back(rank);
  }
  if (affected.empty()) return;
  if (affected.size() > 1) what += fmt::format(" ({} ranks alike)", affected.size());
  findings.push_back({fault, what, fix});
}

/// Builds that differ may differ in bits and in what they send to each other.
void find_versions(std::vector<Finding>& findings, const std::vector<RankFacts>& ranks) {
  for (std::size_t rank = 1; rank < ranks.size(); ++rank) {
    if (ranks[rank].versions == ranks[0].versions) continue;
    findings.push_back(
        {true,
         fmt::format("{} runs other versions than {}: {} against {}", name_of(ranks, rank),
                     name_of(ranks, 0), ranks[rank].versions, ranks[0].versions),
         "start the same build on all hosts, from a shared folder or image"});
    return;
  }
}

/// Where runs are kept: it can be written, all see the same one, it can be locked, it is quick.
void find_folder(std::vector<Finding>& findings, const std::vector<RankFacts>& ranks,
                 const std::string& folder) {
  find(
      findings, ranks,
      [&](const RankFacts& rank) {
        return rank.folder_problem.empty()
                   ? ""
                   : fmt::format("cannot write to {}: {}", folder, rank.folder_problem);
      },
      "name a folder that can be written with --folder, and for runs with --run-dir");
  find(
      findings, ranks,
      [&](const RankFacts& rank) {
        return rank.folder_problem.empty() && !rank.sees_the_others_file
                   ? fmt::format("does not see in {} what rank 0 wrote there", folder)
                   : "";
      },
      "runs must be kept on a file system that all hosts share: checkpoints are written by all "
      "ranks");
  find(
      findings, ranks,
      [&](const RankFacts& rank) {
        return rank.lock_problem.empty()
                   ? ""
                   : fmt::format("cannot lock a file in {}: {}", folder, rank.lock_problem);
      },
      "export HDF5_USE_FILE_LOCKING=FALSE, or HDF5 refuses to open data there", /*fault=*/false);
  find(
      findings, ranks,
      [&](const RankFacts& rank) {
        return rank.fsync_seconds > kSlowFsync
                   ? fmt::format("needs {:.2f} s to make a small file in {} safe",
                                 rank.fsync_seconds, folder)
                   : "";
      },
      "checkpoints will be slow: fewer of them (checkpoint.every-steps), or a faster file system",
      /*fault=*/false);
}

/// Ranks with and without GPUs in one job, ranks that share one, and GPUs that go unused.
void find_gpus(std::vector<Finding>& findings, const std::vector<RankFacts>& ranks) {
  const std::set<bool> any = [&] {
    std::set<bool> seen;
    for (const RankFacts& rank : ranks) seen.insert(rank.gpus > 0);
    return seen;
  }();
  if (any.size() == 2) {
    find(
        findings, ranks,
        [](const RankFacts& rank) { return rank.gpus == 0 ? "sees no GPU, others do" : ""; },
        "request GPUs for every node, or say train.device = \"cpu\"");
  }
  find(
      findings, ranks,
      [](const RankFacts& rank) {
        return rank.gpus > 0 && rank.local_size > rank.gpus
                   ? fmt::format("shares {} GPU{} with {} ranks", rank.gpus,
                                 rank.gpus == 1 ? "" : "s", rank.local_size)
                   : "";
      },
      "as many ranks a node as GPUs, and let each rank see all of its node's "
      "(--gpus-per-node, not --gpus-per-task)");
  find(
      findings, ranks,
      [](const RankFacts& rank) {
        return rank.gpus > 0 && !rank.built_with_cuda ? "has a GPU that this build cannot use" : "";
      },
      "build with a CUDA toolkit and NCCL (cmake --preset cuda)", /*fault=*/false);
}

}  // namespace

double BandwidthFacts::bytes_per_second(std::int64_t ranks) const {
  const auto n = static_cast<double>(ranks);
  return seconds > 0 ? 2 * (n - 1) / n * static_cast<double>(bytes) / seconds : 0;
}

std::vector<Finding> doctor_findings(const std::vector<RankFacts>& ranks,
                                     const std::vector<BandwidthFacts>& sums,
                                     const std::string& folder) {
  std::vector<Finding> findings;
  find_versions(findings, ranks);
  find(
      findings, ranks,
      [](const RankFacts& rank) {
        return binding_remark(rank.threads, rank.cores, rank.cores_of_host, rank.local_size);
      },
      "computing threads and the loader's share too few cores");
  find(
      findings, ranks,
      [](const RankFacts& rank) {
        return rank.local_size > 1 && rank.shared_memory_bytes < kLittleSharedMemory
                   ? fmt::format("finds {} MB free in /dev/shm, which ranks of a host talk through",
                                 std::max<std::int64_t>(rank.shared_memory_bytes, 0) / 1000000)
                   : "";
      },
      "give the container more (docker --shm-size=1g), or remove what fills it");
  find_gpus(findings, ranks);
  find_folder(findings, ranks, folder);
  if (!sums.empty() && ranks.size() > 1) {
    const double best = sums.back().bytes_per_second(static_cast<std::int64_t>(ranks.size()));
    if (best < kSlowSum) {
      findings.push_back(
          {false, fmt::format("ranks sum {:.0f} MB/s only", best / 1e6),
           "see which network MPI takes (mpirun --mca btl_base_verbose 30; UCX_NET_DEVICES, "
           "OMPI_MCA_btl_tcp_if_include), and that ranks do not share a core"});
    }
  }
  return findings;
}

std::string list_of_cores(const std::vector<int>& cores) {
  std::vector<std::string> ranges;
  for (std::size_t i = 0; i < cores.size();) {
    std::size_t last = i;
    while (last + 1 < cores.size() && cores[last + 1] == cores[last] + 1) ++last;
    ranges.push_back(last == i ? fmt::format("{}", cores[i])
                               : fmt::format("{}-{}", cores[i], cores[last]));
    i = last + 1;
  }
  return fmt::format("{}", fmt::join(ranges, ","));
}

}  // namespace thaw
