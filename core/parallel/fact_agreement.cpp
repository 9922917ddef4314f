#include "core/parallel/fact_agreement.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <map>
#include <utility>

#include "core/base/error.h"
#include "core/base/hash.h"
#include "core/parallel/agreement.h"

namespace thaw {

namespace {

/// Keys in the order of their first occurrence, each with what the ranks hold under it.
template <typename Key>
class ByRank {
 public:
  std::map<int, std::string>& operator[](const Key& key) {
    const auto [entry, is_new] = index_.try_emplace(key, entries_.size());
    if (is_new) entries_.emplace_back(key, std::map<int, std::string>());
    return entries_[entry->second].second;
  }
  const auto& entries() const { return entries_; }

 private:
  std::map<Key, std::size_t> index_;
  std::vector<std::pair<Key, std::map<int, std::string>>> entries_;
};

std::vector<int> ranks_without(const std::map<int, std::string>& values, int ranks) {
  std::vector<int> without;
  for (int rank = 0; rank < ranks; ++rank) {
    if (!values.contains(rank)) without.push_back(rank);
  }
  return without;
}

/// "0.001 on ranks 0, 2; 0.01 on rank 1; nothing on rank 3", or "" where all hold one value.
std::string text_of(const std::map<int, std::string>& values, int ranks) {
  ByRank<std::string> ranks_of;
  for (const auto& [rank, value] : values) ranks_of[value].emplace(rank, "");
  const std::vector<int> without = ranks_without(values, ranks);
  if (ranks_of.entries().size() == 1 && without.empty()) return {};

  std::vector<std::string> parts;
  for (const auto& [value, holders] : ranks_of.entries()) {
    std::vector<int> list;
    for (const auto& [rank, _] : holders) list.push_back(rank);
    parts.push_back(fmt::format("{} on {}", value, rank_list(list)));
  }
  if (!without.empty()) parts.push_back("nothing on " + rank_list(without));
  return fmt::format("{}", fmt::join(parts, "; "));
}

}  // namespace

std::string describe_differences(const std::vector<Facts>& facts_of, std::size_t limit) {
  const auto ranks = static_cast<int>(facts_of.size());
  ByRank<std::string> subjects;
  ByRank<std::pair<std::string, std::string>> values;
  for (int rank = 0; rank < ranks; ++rank) {
    for (const Fact& fact : facts_of[static_cast<std::size_t>(rank)]) {
      subjects[fact.subject].emplace(rank, "");
      values[{fact.subject, fact.what}].emplace(rank, fact.value);
    }
  }

  std::vector<std::string> lines;
  std::map<std::string, bool> lacking;  // subjects told as a whole
  for (const auto& [subject, holders] : subjects.entries()) {
    const std::vector<int> without = ranks_without(holders, ranks);
    lacking[subject] = !without.empty();
    if (!without.empty()) {
      lines.push_back(fmt::format("  {}: is missing on {}", subject, rank_list(without)));
    }
  }
  for (const auto& [key, holders] : values.entries()) {
    const auto& [subject, what] = key;
    if (lacking[subject]) continue;
    const std::string text = text_of(holders, ranks);
    if (text.empty()) continue;
    lines.push_back(subject.empty() ? fmt::format("  {}: {}", what, text)
                                    : fmt::format("  {}: {} {}", subject, what, text));
  }

  if (lines.size() > limit) {
    const std::size_t more = lines.size() - limit;
    lines.resize(limit);
    lines.push_back(fmt::format("  and {} more", more));
  }
  return fmt::format("{}", fmt::join(lines, "\n"));
}

void agree_on_facts(Communicator& communicator, const std::string& what, const Facts& facts) {
  const std::string text = encode(facts);
  const std::string digest = fingerprint(text).hex();
  const std::vector<std::string> digests = communicator.all_gather(digest);
  // All ranks see the same digests, so all take the same way from here.
  const bool equal = std::all_of(digests.begin(), digests.end(),
                                 [&](const std::string& other) { return other == digests[0]; });
  if (equal) return;

  std::vector<Facts> all;
  for (const std::string& one : communicator.all_gather(text)) all.push_back(decode_facts(one));
  DisagreementError error(
      fmt::format("ranks hold different {}:\n{}", what, describe_differences(all)));
  error.mark_agreed();
  throw error;
}

}  // namespace thaw
