#include "launch/identity/data_identity.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <span>
#include <string>

#include "core/base/error.h"
#include "core/base/system.h"
#include "core/base/text_bytes.h"
#include "core/data/dataset.h"
#include "core/data/identity/content_hash.h"
#include "core/data/identity/data_facts.h"
#include "core/data/split.h"
#include "core/parallel/agreement.h"
#include "core/parallel/communicator.h"
#include "launch/run/data_opening.h"
#include "launch/run/run_setup.h"

namespace thaw {
namespace {

/// More do not read faster.
constexpr int kMostThreads = 4;

/// The ranks that see the same files, of which each reads a part.
struct Sharing {
  std::vector<std::size_t> ranks;
  std::size_t place = 0;  ///< this rank's among them

  /// The first of `count` pieces that fall to the rank at `index`.
  std::int64_t first(std::int64_t count, std::size_t index) const {
    return count * static_cast<std::int64_t>(index) / std::ssize(ranks);
  }
};

/// A collective: who shares with this rank. `key` tells the files apart.
Sharing sharing_of(const std::string& key, Communicator& communicator) {
  Sharing sharing;
  const auto self = static_cast<std::size_t>(communicator.rank());
  const std::vector<std::string> keys = communicator.all_gather(key);
  for (std::size_t rank = 0; rank < keys.size(); ++rank) {
    if (keys[rank] != keys[self]) continue;
    if (rank == self) sharing.place = sharing.ranks.size();
    sharing.ranks.push_back(rank);
  }
  return sharing;
}

/// What is known of a split before it is read; `sources` is empty where nothing tells whether its
/// files are as they were.
KeptSplit described(const Split& split) {
  const std::span<const std::int64_t> offsets = split.offsets();
  return {
      .host = host_name(),
      .split = split.name(),
      .layout = fingerprint(fmt::format("{}\n{}\n{}", split.format().describe(), split.size(),
                                        fingerprint(offsets.data(), offsets.size_bytes()).hex()))
                    .hex(),
      .sources = split.sources().value_or(std::vector<SampleSource>()),
      .content = {}};
}

/// Equal for ranks that see the same files, and for no others.
std::string sharing_key(const KeptSplit& split, int rank) {
  if (split.sources.empty()) return fmt::format("rank {}", rank);
  std::string text = fmt::format("{}\n{}\n", split.host, split.layout);
  for (const SampleSource& source : split.sources) {
    const FileStamp& stamp = source.stamp;
    text += fmt::format("{} {} {} {} {} {}\n", source.array, stamp.device, stamp.inode, stamp.size,
                        stamp.modified, stamp.changed);
  }
  return fingerprint(text).hex();
}

/// Whether files that were read since `begun` can be known again by their stamps.
bool can_be_kept(const KeptSplit& split, std::int64_t begun) {
  return !split.sources.empty() &&
         std::all_of(split.sources.begin(), split.sources.end(), [&](const SampleSource& source) {
           return stamp_of(source.file) == source.stamp && source.stamp.settled_at(begun);
         });
}

std::string bytes_of(std::span<const Fingerprint> hashes) {
  return {reinterpret_cast<const char*>(hashes.data()), hashes.size_bytes()};
}

/// Finds the splits' contents out, one after another.
class DataReading {
 public:
  DataReading(const RunSetup& setup, const KeptIdentity& kept, Communicator& communicator,
              StepMonitor* monitor)
      : setup_(setup), kept_(kept), communicator_(communicator), monitor_(monitor) {}

  /// A collective.
  void add(const std::string& name) {
    const Split& split = setup_.dataset->split(name).whole();
    const std::int64_t begun = stamp_clock();
    KeptSplit now = described(split);
    const Sharing sharing = sharing_of(sharing_key(now, communicator_.rank()), communicator_);
    // Ranks that share see the same stamps, and `kept` is rank 0's for all: they find the same.
    const KeptSplit* known = known_as(now);
    const Fingerprint content = read(split, sharing, known != nullptr);
    now.content = known != nullptr ? known->content : content.hex();
    contents_[name] = now.content;
    const bool keep = sharing.place == 0 && (known != nullptr || can_be_kept(now, begun));
    keep_all(keep ? &now : nullptr);
  }

  DataIdentity take() { return {data_facts(*setup_.dataset, contents_), std::move(splits_)}; }

 private:
  const KeptSplit* known_as(const KeptSplit& now) const {
    if (now.sources.empty()) return nullptr;
    const auto found = std::find_if(kept_.splits.begin(), kept_.splits.end(),
                                    [&](const KeptSplit& each) { return each.stands_for(now); });
    return found == kept_.splits.end() ? nullptr : &*found;
  }

  /// A collective: reads this rank's part, if the content is not known, and hears of the others'.
  Fingerprint read(const Split& split, const Sharing& sharing, bool known) {
    const std::vector<std::int64_t> pieces = content_pieces(split);
    const std::int64_t count = known ? 0 : std::ssize(pieces) - 1;
    const std::string mine = agreed(communicator_, [&] {
      const std::int64_t first = sharing.first(count, sharing.place);
      const std::int64_t last = sharing.first(count, sharing.place + 1);
      if (first == last) return std::string();
      return bytes_of(hash_pieces(split, pieces, first, last,
                                  std::clamp(setup_.topology.threads, 1, kMostThreads),
                                  progress(split.name())));
    });
    const std::vector<std::string> all = communicator_.all_gather(mine);
    std::string together;
    for (const std::size_t rank : sharing.ranks) together += all[rank];
    std::vector<Fingerprint> hashes(together.size() / sizeof(Fingerprint));
    std::memcpy(hashes.data(), together.data(), together.size());
    return content_fingerprint(hashes);
  }

  DecodeProgress progress(const std::string& split) const {
    const std::string what = fmt::format("{}: /{}", setup_.dataset->files().front(), split);
    return [what, tell = reading_progress(communicator_.rank(), monitor_)](
               const std::string& /*split*/, std::int64_t done, std::int64_t total) {
      if (tell) tell(what, done, total);
    };
  }

  /// A collective: adds what the ranks have to keep, each for those that share with it.
  void keep_all(const KeptSplit* mine) {
    KeptIdentity one;
    if (mine != nullptr) one.splits.push_back(*mine);
    for (const std::string& text :
         communicator_.all_gather(mine != nullptr ? to_json(one) : std::string())) {
      if (text.empty()) continue;
      for (KeptSplit& each : kept_identity_from_json(text, "a rank").splits) {
        splits_.push_back(std::move(each));
      }
    }
  }

  const RunSetup& setup_;
  const KeptIdentity& kept_;
  Communicator& communicator_;
  StepMonitor* monitor_;
  std::map<std::string, std::string> contents_;
  std::vector<KeptSplit> splits_;
};

}  // namespace

DataIdentity data_identity(const RunSetup& setup, const KeptIdentity& kept,
                           Communicator& communicator, StepMonitor* monitor) {
  DataReading reading(setup, kept, communicator, monitor);
  for (const std::string& split : setup.splits) reading.add(split);
  return reading.take();
}

}  // namespace thaw
