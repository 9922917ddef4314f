#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "core/data/identity/file_stamp.h"

namespace thaw {

/// The content of a split, as it was read on one host, and the files that it was read from.
struct KeptSplit {
  std::string host;
  std::string split;
  std::string layout;  ///< a fingerprint of format, number and lengths of its samples
  std::vector<SampleSource> sources;
  std::string content;  ///< its fingerprint, in hexadecimal

  /// Whether it tells the content of what is read now: the same arrays of the same files, which
  /// nobody has touched since. Under which path they lie does not count.
  bool stands_for(const KeptSplit& now) const;
};

/// What a run folder keeps of what the run is (identity.json), so that the next start need not read
/// all data again.
struct KeptIdentity {
  std::map<std::string, std::string> facts;  ///< of the run, by name
  std::vector<KeptSplit> splits;
};

/// With a checksum of it all.
std::string to_json(const KeptIdentity& identity);
/// Throws InputError, beginning with `path`, for whatever `to_json` did not write.
KeptIdentity kept_identity_from_json(const std::string& text, const std::string& path);

/// The file at `path`; empty where there is none. One that is damaged or none of ours counts as
/// none, which standard error is told.
KeptIdentity read_kept_identity(const std::filesystem::path& path);

}  // namespace thaw
