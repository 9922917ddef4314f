#pragma once

#include <cstdint>
#include <functional>
#include <string>

namespace thaw {

/// Called now and then while chunked data is decoded: what (file and dataset), bytes done, bytes in
/// all. Called at the end too. On the thread that decodes.
using DecodeProgress =
    std::function<void(const std::string& what, std::int64_t done, std::int64_t total)>;

/// Where chunked data goes when it has been decoded (see Note [Chunked data]).
struct DataCacheOptions {
  /// `auto`: memory where that is cheap, else a file in a folder of this user's below $TMPDIR;
  /// `memory`; `off`: decode whole chunks again and again; anything else: files in that folder.
  std::string mode = "auto";
  /// Processes of this host that open the same data.
  int local_processes = 1;
  DecodeProgress progress;
};

}  // namespace thaw
