#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "core/base/hash.h"

namespace thaw {

/// One tensor on one rank, as an audit found it.
struct AuditEntry {
  Fingerprint hash;
  /// It must not change in this stage, and is no longer what this rank itself had when that began.
  bool changed = false;

  friend bool operator==(const AuditEntry&, const AuditEntry&) = default;
};

/// What is wrong with one tensor.
struct AuditFinding {
  enum class Kind {
    kChanged,    ///< on `ranks`, while it must not
    kOutvoted,   ///< `ranks` differ from most others
    kUndecided,  ///< ranks differ, and nothing tells which is wrong: `ranks` are all
  };
  std::size_t tensor = 0;  ///< its index
  Kind kind = Kind::kUndecided;
  std::vector<int> ranks;

  friend bool operator==(const AuditFinding&, const AuditFinding&) = default;
};

/// Which tensors are wrong and on which ranks. `table[rank][tensor]`; all rows have one length.
/// A rank's own earlier hash decides where there is one, else the majority, else nobody can tell.
/// Pure.
std::vector<AuditFinding> find_guilty(std::span<const std::vector<AuditEntry>> table);

/// The findings in words, a line each, at most `limit`. `names`: of the tensors.
std::string describe(std::span<const AuditFinding> findings, std::span<const std::string> names,
                     std::size_t limit = 8);

/// One rank's row as bytes, for travelling.
std::string encode(std::span<const AuditEntry> row);
std::vector<AuditEntry> decode_audit_row(const std::string& bytes);

}  // namespace thaw
