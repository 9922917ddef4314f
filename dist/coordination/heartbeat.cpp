#include "dist/coordination/heartbeat.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "core/base/error.h"

namespace thaw {

namespace {

/// A heartbeat as it travels. All ranks run the same program, so its layout is theirs.
struct Record {
  std::uint64_t beat;
  std::uint64_t order;
  std::uint64_t call_bytes;
  std::int64_t step;
  std::int64_t bucket;
  double still_seconds;
  std::int32_t rank;
  std::uint8_t phase;
  std::uint8_t call;
  std::uint8_t waits;
  std::uint8_t left;
  std::array<char, 40> stage;  ///< ends with a zero
};
static_assert(sizeof(Record) == 96, "no padding, whose bytes would be undefined");

Record record_of(const Heartbeat& beat) {
  Record record{};
  record.beat = beat.beat;
  record.order = beat.place.order;
  record.call_bytes = beat.place.call_bytes;
  record.step = beat.place.step;
  record.bucket = beat.place.bucket;
  record.still_seconds = beat.still_seconds;
  record.rank = beat.rank;
  record.phase = static_cast<std::uint8_t>(beat.place.phase);
  record.call = static_cast<std::uint8_t>(beat.place.call);
  record.waits = beat.place.waits;
  record.left = beat.left;
  const std::size_t length = std::min(beat.place.stage.size(), record.stage.size() - 1);
  std::copy_n(beat.place.stage.begin(), length, record.stage.begin());
  return record;
}

Heartbeat heartbeat_of(const Record& record, int ranks) {
  if (record.rank < 0 || record.rank >= ranks ||
      record.phase > static_cast<std::uint8_t>(RankPhase::kEnding) ||
      record.call > static_cast<std::uint8_t>(CollectiveKind::kMessage) ||
      record.stage.back() != 0) {
    throw RunError("a heartbeat holds what no rank of this job sends");
  }
  Heartbeat beat;
  beat.rank = record.rank;
  beat.beat = record.beat;
  beat.place.phase = static_cast<RankPhase>(record.phase);
  beat.place.waits = record.waits != 0;
  beat.place.call = static_cast<CollectiveKind>(record.call);
  beat.place.call_bytes = record.call_bytes;
  beat.place.order = record.order;
  beat.place.step = record.step;
  beat.place.bucket = record.bucket;
  beat.place.stage = record.stage.data();
  beat.still_seconds = record.still_seconds;
  beat.left = record.left != 0;
  return beat;
}

}  // namespace

std::string encode(std::span<const Heartbeat> beats) {
  std::string bytes(beats.size() * sizeof(Record), '\0');
  char* to = bytes.data();
  for (const Heartbeat& beat : beats) {
    const Record record = record_of(beat);
    std::memcpy(to, &record, sizeof record);
    to += sizeof record;
  }
  return bytes;
}

std::vector<Heartbeat> decode_heartbeats(std::string_view bytes, int ranks) {
  if (bytes.size() % sizeof(Record) != 0) {
    throw RunError("heartbeats of another length than this program's: all ranks must run the same");
  }
  std::vector<Heartbeat> beats;
  for (std::size_t at = 0; at < bytes.size(); at += sizeof(Record)) {
    Record record;
    std::memcpy(&record, bytes.data() + at, sizeof record);
    beats.push_back(heartbeat_of(record, ranks));
  }
  return beats;
}

}  // namespace thaw
