#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/parallel/step_monitor.h"

namespace thaw {

/// What a rank says of itself, a few times a second.
struct Heartbeat {
  int rank = 0;
  std::uint64_t beat = 0;  ///< the higher, the newer; 0: nothing has been heard of it yet
  RankPlace place;
  double still_seconds = 0;  ///< since anything of it last moved, by its own clock
  bool left = false;         ///< it ends, and has said why: nothing more will come
};

/// Heartbeats as bytes. Stage names are cut after 39 bytes.
std::string encode(std::span<const Heartbeat> beats);

/// Throws RunError where `bytes` are no heartbeats of a job of `ranks` ranks.
std::vector<Heartbeat> decode_heartbeats(std::string_view bytes, int ranks);

}  // namespace thaw
