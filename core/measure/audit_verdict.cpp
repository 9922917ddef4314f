#include "core/measure/audit_verdict.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <optional>
#include <utility>

#include "core/parallel/agreement.h"

namespace thaw {
namespace {

constexpr std::size_t kEntryBytes = 17;

std::vector<int> ranks_where(std::size_t ranks, const auto& holds) {
  std::vector<int> found;
  for (std::size_t rank = 0; rank < ranks; ++rank) {
    if (holds(rank)) {
      found.push_back(static_cast<int>(rank));
    }
  }
  return found;
}

/// The value that more than half of the ranks hold.
std::optional<Fingerprint> majority(std::span<const std::vector<AuditEntry>> table,
                                    std::size_t tensor) {
  for (const std::vector<AuditEntry>& candidate : table) {
    const Fingerprint& hash = candidate[tensor].hash;
    const auto votes = std::count_if(table.begin(), table.end(),
                                     [&](const auto& row) { return row[tensor].hash == hash; });
    if (2 * static_cast<std::size_t>(votes) > table.size()) {
      return hash;
    }
  }
  return std::nullopt;
}

std::optional<AuditFinding> finding_of(std::span<const std::vector<AuditEntry>> table,
                                       std::size_t tensor) {
  using Kind = AuditFinding::Kind;
  const std::vector<int> changed =
      ranks_where(table.size(), [&](std::size_t rank) { return table[rank][tensor].changed; });
  if (!changed.empty()) {
    return AuditFinding{tensor, Kind::kChanged, changed};
  }
  const std::optional<Fingerprint> most = majority(table, tensor);
  const std::vector<int> others = ranks_where(
      table.size(), [&](std::size_t rank) { return !most || table[rank][tensor].hash != *most; });
  if (others.empty()) {
    return std::nullopt;
  }
  return AuditFinding{tensor, most ? Kind::kOutvoted : Kind::kUndecided, others};
}

std::string text_of(const AuditFinding& finding) {
  switch (finding.kind) {
    case AuditFinding::Kind::kChanged:
      return fmt::format("changed on {}, though nothing may change it in this stage",
                         rank_list(finding.ranks));
    case AuditFinding::Kind::kOutvoted:
      return fmt::format("{} {} from the others", rank_list(finding.ranks),
                         finding.ranks.size() == 1 ? "differs" : "differ");
    case AuditFinding::Kind::kUndecided:
      return fmt::format("{} differ; which of them is wrong cannot be told",
                         rank_list(finding.ranks));
  }
  return {};
}

}  // namespace

std::vector<AuditFinding> find_guilty(std::span<const std::vector<AuditEntry>> table) {
  std::vector<AuditFinding> findings;
  for (std::size_t tensor = 0; tensor < table.front().size(); ++tensor) {
    if (std::optional<AuditFinding> finding = finding_of(table, tensor)) {
      findings.push_back(std::move(*finding));
    }
  }
  return findings;
}

std::string describe(std::span<const AuditFinding> findings, std::span<const std::string> names,
                     std::size_t limit) {
  std::string text;
  for (std::size_t i = 0; i < std::min(limit, findings.size()); ++i) {
    text += fmt::format("  {}: {}\n", names[findings[i].tensor], text_of(findings[i]));
  }
  if (findings.size() > limit) {
    text += fmt::format("  and {} more tensors\n", findings.size() - limit);
  }
  return text;
}

std::string encode(std::span<const AuditEntry> row) {
  std::string bytes;
  for (const AuditEntry& entry : row) {
    bytes.append(reinterpret_cast<const char*>(&entry.hash.low), 8);
    bytes.append(reinterpret_cast<const char*>(&entry.hash.high), 8);
    bytes.push_back(entry.changed ? 1 : 0);
  }
  return bytes;
}

std::vector<AuditEntry> decode_audit_row(const std::string& bytes) {
  std::vector<AuditEntry> row(bytes.size() / kEntryBytes);
  const char* from = bytes.data();
  for (AuditEntry& entry : row) {
    std::memcpy(&entry.hash.low, from, 8);
    std::memcpy(&entry.hash.high, from + 8, 8);
    entry.changed = from[16] != 0;
    from += kEntryBytes;
  }
  return row;
}

}  // namespace thaw
