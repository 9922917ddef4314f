#include "core/checkpoint/saver.h"

#include <ATen/core/Tensor.h>
#include <fmt/chrono.h>
#include <fmt/format.h>

#include <chrono>
#include <ctime>
#include <nlohmann/json.hpp>
#include <utility>

#include "core/base/error.h"
#include "core/base/json_text.h"
#include "core/base/system.h"
#include "core/checkpoint/durable_file.h"
#include "core/checkpoint/sharding.h"

namespace thaw {
namespace {

// Note [Two rounds beside training]
// At a step boundary every rank copies its share of the tensors into host memory and goes on; a
// thread of its own writes the copy. That thread calls no collective: MPI's collectives spin, and a
// second communicator's would race with training for the cores. Instead the ranks tell each other
// within the sum that each step makes anyway whether they are `ready`, and when all are they
// `advance` together:
//   1. written:   a gather brings each rank's file and checksum, or its problem, to all. Where all
//                 are good, rank 0's thread writes the manifest and renames the folder.
//   2. committed: rank 0 tells how that went. Only then is there a new checkpoint.
// A rank that dies in between leaves a partial folder, which nobody reads.

std::string encode(const std::vector<FileRecord>& files, const std::string& problem) {
  return json_text(nlohmann::ordered_json{{"files", files}, {"problem", problem}});
}

std::pair<std::vector<FileRecord>, std::string> decode(const std::string& text) {
  const auto json = nlohmann::ordered_json::parse(text);
  return {json.at("files").get<std::vector<FileRecord>>(), json.at("problem").get<std::string>()};
}

std::string now_text() {
  return fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", fmt::gmtime(std::time(nullptr)));
}

/// Sets a flag in the end, whatever comes of what it stands beside.
class SetsInTheEnd {
 public:
  explicit SetsInTheEnd(std::atomic<bool>& flag) : flag_(flag) {}
  ~SetsInTheEnd() {
    flag_ = true;
    flag_.notify_all();
  }
  SetsInTheEnd(const SetsInTheEnd&) = delete;
  SetsInTheEnd& operator=(const SetsInTheEnd&) = delete;

 private:
  std::atomic<bool>& flag_;
};

/// This rank's share of the replicated tensors, and its own.
std::vector<NamedTensor> share_of(const CheckpointContent& content, int rank, int ranks) {
  std::vector<std::int64_t> bytes;
  for (const NamedTensor& each : content.replicated) {
    bytes.push_back(static_cast<std::int64_t>(each.tensor.nbytes()));
  }
  const std::vector<int> writers = assign_writers(bytes, ranks);
  std::vector<NamedTensor> share = content.own;
  for (std::size_t i = 0; i < writers.size(); ++i) {
    if (writers[i] == rank) share.push_back(content.replicated[i]);
  }
  return share;
}

}  // namespace

CheckpointSaver::CheckpointSaver(CheckpointStore store, Communicator& communicator,
                                 Settings settings)
    : store_(std::move(store)), communicator_(communicator), settings_(std::move(settings)) {}

CheckpointSaver::~CheckpointSaver() {
  if (work_.valid()) work_.wait();
}

void CheckpointSaver::save(const CheckpointContent& content) {
  finish();
  since_begin_.lap();
  stall_seconds_ = 0;
  const Stopwatch stall;
  manifest_ = content.about;
  manifest_.ranks = communicator_.size();
  manifest_.files.clear();
  state_ = content.state;
  configuration_ = content.configuration;
  snapshot_.take(share_of(content, communicator_.rank(), communicator_.size()), content.constant,
                 content.room_on_gpu);
  phase_ = Phase::kWriting;
  copied_ = false;
  start([this] { return write_part(); });
  stall_seconds_ = stall.seconds();
  if (!settings_.asynchronous) finish();
}

CheckpointSaver::Result CheckpointSaver::write_part() {
  Result result;
  {
    const SetsInTheEnd copied(copied_);
    if (settings_.may_write) settings_.may_write();
    snapshot_.settle();
  }
  const int rank = communicator_.rank();
  store_.open_partial(manifest_.place);
  const std::filesystem::path folder = store_.partial_path_of(manifest_.place);
  if (rank == 0) {
    result.files.push_back(write_durable_text(folder / kStateFile, state_));
    result.files.push_back(write_durable_text(folder / kConfigurationFile, configuration_));
  }
  DurableFile shard(folder / shard_file(rank, communicator_.size()), &bytes_written_);
  write_safetensors([&](const void* bytes, std::size_t size) { shard.write(bytes, size); },
                    snapshot_.items(), {{"format", "pt"}});
  result.files.push_back(shard.finish());
  flush_folder(folder);
  return result;
}

void CheckpointSaver::start(std::function<Result()> work) {
  work_ = std::async(std::launch::async, [work = std::move(work)]() -> Result {
    try {
      return work();
    } catch (const std::exception& error) {
      return {{}, error.what()};
    }
  });
}

bool CheckpointSaver::ready() const {
  return !work_.valid() || work_.wait_for(std::chrono::seconds(0)) == std::future_status::ready;
}

CheckpointSaver::Result CheckpointSaver::wait() {
  if (!work_.valid()) return {};
  std::uint64_t seen = bytes_written_;
  while (work_.wait_for(std::chrono::milliseconds(100)) != std::future_status::ready) {
    if (settings_.progress && std::exchange(seen, bytes_written_.load()) != bytes_written_) {
      settings_.progress();
    }
  }
  return work_.get();
}

void CheckpointSaver::advance() {
  const Stopwatch stall;
  const Phase phase = phase_;
  if (phase == Phase::kWriting) end_writing();
  if (phase == Phase::kCommitting) end_committing();
  stall_seconds_ += stall.seconds();
  if (phase_ == Phase::kIdle && !reports_.empty()) reports_.back().stall_seconds = stall_seconds_;
}

void CheckpointSaver::end_writing() {
  const Result mine = wait();
  const std::vector<std::string> all = communicator_.all_gather(encode(mine.files, mine.problem));
  std::string problem;
  for (std::size_t rank = 0; rank < all.size(); ++rank) {
    auto [files, its_problem] = decode(all[rank]);
    if (problem.empty() && !its_problem.empty()) {
      problem = all.size() == 1 ? its_problem : fmt::format("rank {}: {}", rank, its_problem);
    }
    for (FileRecord& file : files) manifest_.files.push_back(std::move(file));
  }
  phase_ = Phase::kCommitting;
  if (communicator_.rank() != 0) return;
  manifest_.written = now_text();
  start([this, problem] { return commit(problem); });
}

/// On rank 0: makes the parts a checkpoint, or takes away what there is of them.
CheckpointSaver::Result CheckpointSaver::commit(const std::string& problem) const {
  if (settings_.may_write) settings_.may_write();
  if (!problem.empty()) {
    store_.discard(manifest_.place);
    return {{}, problem};
  }
  try {
    store_.commit(manifest_);
  } catch (...) {
    store_.discard(manifest_.place);
    throw;
  }
  store_.prune(settings_.keep);
  return {};
}

void CheckpointSaver::end_committing() {
  SaveReport report;
  report.place = manifest_.place;
  report.epoch = manifest_.epoch;
  report.stage = manifest_.stage;
  report.path = store_.path_of(manifest_.place).string();
  report.problem = communicator_.broadcast(wait().problem, /*root=*/0);
  for (const FileRecord& file : manifest_.files) {
    report.bytes += static_cast<std::int64_t>(file.bytes);
  }
  report.seconds = since_begin_.seconds();
  slowest_seconds_ = std::max(slowest_seconds_, report.seconds);
  reports_.push_back(std::move(report));
  phase_ = Phase::kIdle;
}

void CheckpointSaver::finish() {
  while (under_way()) advance();
}

}  // namespace thaw
