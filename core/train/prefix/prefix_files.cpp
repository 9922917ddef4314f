#include "core/train/prefix/prefix_files.h"

#include <ATen/core/Tensor.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <set>

#include "core/base/error.h"
#include "core/base/system.h"
#include "core/data/activations/activation_folder.h"
#include "core/parallel/agreement.h"
#include "core/parallel/communicator.h"
#include "core/parallel/step_monitor.h"
#include "core/step/prefix/prefix_runner.h"

namespace thaw {
namespace {

/// Removes unfinished files at its end.
struct Remover {
  std::vector<std::string> paths;
  ~Remover() {
    for (const std::string& path : paths) {
      if (!path.empty()) ::unlink(path.c_str());
    }
  }
};

/// The rank's part of `count` things.
std::pair<std::size_t, std::size_t> part_of(std::size_t count, const Communicator& ranks) {
  const auto rank = static_cast<std::size_t>(ranks.rank());
  const auto size = static_cast<std::size_t>(ranks.size());
  return {count * rank / size, count * (rank + 1) / size};
}

}  // namespace

PrefixFiles::PrefixFiles(Communicator& communicator, StepMonitor& monitor)
    : communicator_(communicator), monitor_(monitor) {}

PrefixFiles::~PrefixFiles() = default;

Communicator& PrefixFiles::host() {
  if (!host_) {
    const std::vector<std::string> names = communicator_.all_gather(host_name());
    const auto first = std::find(names.begin(), names.end(),
                                 names[static_cast<std::size_t>(communicator_.rank())]);
    host_ = communicator_.split(static_cast<int>(first - names.begin()));
  }
  return *host_;
}

std::optional<ActivationFile::Opened> PrefixFiles::open(const ActivationFile& file) {
  std::optional<ActivationFile::Opened> opened;
  try {
    opened = file.open();
  } catch (const Error&) {
    opened.reset();  // cannot be read, which is as if it were not there
  }
  const std::vector<std::string> all = communicator_.all_gather(opened ? "1" : "0");
  if (std::find(all.begin(), all.end(), "0") != all.end()) return std::nullopt;
  return opened;
}

void PrefixFiles::make(const Making& making, const PrefixRunner& runner) {
  std::optional<LocalFailure> failure;
  Communicator& ranks = host();
  try {
    // A claim is one process's, for all ranks of the host.
    std::vector<std::unique_ptr<FillClaim>> claims;
    agreed(ranks, [&] {
      if (ranks.rank() != 0) return;
      // In the order of names, so that two jobs never wait for each other.
      std::set<std::string> locks;
      for (const ActivationFile* file : making.files) locks.insert(file->lock_path());
      for (const std::string& lock : locks) {
        claims.push_back(std::make_unique<FillClaim>(lock, [&] { monitor_.tick(); }));
      }
    });
    make_on_host(making, runner);
  } catch (const std::exception& error) {
    failure = failure_of(error);
  }
  agree(communicator_, failure);
}

/// The unfinished files, "" for one that another job has made meanwhile.
std::vector<std::string> PrefixFiles::begin(const Making& making) {
  std::vector<std::string> paths;
  Remover remover;
  std::set<std::string> kept(making.needed.begin(), making.needed.end());
  std::int64_t bytes = 0;
  std::vector<bool> there;
  for (const ActivationFile* file : making.files) {
    kept.insert(file->path());
    there.push_back(file->open().has_value());
    if (there.back()) continue;
    ::unlink(file->path().c_str());  // one that is damaged
    remove_unfinished(*file);
    bytes += file->file_bytes();
  }
  if (bytes > 0 && !make_activation_room(making.folder, bytes, making.limit, kept)) {
    throw InputError(
        fmt::format("{}: has no room for {} (train.prefix-cache-folder names the folder, "
                    "train.prefix-cache-gib what may be taken there: {})",
                    making.folder, memory_text(bytes), memory_text(making.limit)));
  }
  for (std::size_t i = 0; i < making.files.size(); ++i) {
    paths.push_back(there[i] ? "" : making.files[i]->begin());
    remover.paths.push_back(paths.back());
  }
  remover.paths.clear();
  return paths;
}

void PrefixFiles::make_on_host(const Making& making, const PrefixRunner& runner) {
  Communicator& ranks = host();
  Remover remover;
  std::vector<std::string> paths(making.files.size());
  agreed(ranks, [&] {
    if (ranks.rank() != 0) return;
    paths = begin(making);
    remover.paths = paths;
  });
  for (std::string& path : paths) path = ranks.broadcast(path, /*root=*/0);

  Making missing = making;
  missing.files.clear();
  missing.boundaries.clear();
  std::vector<std::unique_ptr<UnfinishedActivations>> unfinished;
  agreed(ranks, [&] {
    for (std::size_t i = 0; i < paths.size(); ++i) {
      if (paths[i].empty()) continue;
      unfinished.push_back(std::make_unique<UnfinishedActivations>(*making.files[i], paths[i]));
      missing.files.push_back(making.files[i]);
      missing.boundaries.push_back(making.boundaries[i]);
    }
    if (missing.files.empty()) return;
    const auto [first, last] = part_of(runner.blocks().size() - 1, ranks);
    for (std::size_t block = first; block < last; ++block) {
      const PrefixRunner::Outputs outputs = runner.run_block(block, missing.boundaries);
      for (std::size_t i = 0; i < unfinished.size(); ++i) {
        const ActivationLayout& layout = missing.files[i]->spec().layout;
        unfinished[i]->write(runner.blocks()[block], laid_out(outputs.hidden[i], layout));
      }
      monitor_.tick();
    }
  });
  finish(unfinished);
  remover.paths.clear();
}

void PrefixFiles::finish(std::span<const std::unique_ptr<UnfinishedActivations>> all) {
  Communicator& ranks = host();
  for (std::size_t i = 0; i < all.size(); ++i) {
    std::vector<Fingerprint> own;
    agreed(ranks, [&] {
      const auto [first, last] = part_of(static_cast<std::size_t>(all[i]->pieces()), ranks);
      own = all[i]->checks(static_cast<std::int64_t>(first), static_cast<std::int64_t>(last));
      monitor_.tick();
    });
    const std::vector<std::string> gathered = ranks.all_gather(
        {reinterpret_cast<const char*>(own.data()), own.size() * sizeof(Fingerprint)});
    agreed(ranks, [&] {
      if (ranks.rank() != 0) return;
      std::string bytes;
      for (const std::string& each : gathered) bytes += each;
      std::vector<Fingerprint> checks(bytes.size() / sizeof(Fingerprint));
      std::memcpy(checks.data(), bytes.data(), bytes.size());
      all[i]->finish(checks);
    });
  }
}

}  // namespace thaw
