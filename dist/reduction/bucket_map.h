#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "core/base/fact.h"
#include "core/base/hash.h"
#include "core/schedule/stage_plan.h"

namespace thaw {

/// Where one parameter's gradient lies in its bucket, in elements.
struct BucketSlot {
  std::size_t parameter = 0;  ///< index among the active parameters
  std::int64_t offset = 0;    ///< a multiple of 64 bytes
  std::int64_t length = 0;

  friend bool operator==(const BucketSlot&, const BucketSlot&) = default;
};

/// Gradients that travel in one collective: one element type, one kind of device.
struct Bucket {
  ElementType type = ElementType::kFloat32;
  std::string device;             ///< "cpu", "cuda": the kind, without an index
  std::vector<BucketSlot> slots;  ///< in the order in which they become ready
  std::int64_t length = 0;        ///< elements, padding and flags included
  /// Holds one parameter, whose gradient stays where autograd put it and travels as the rows that
  /// any rank touched (see RowReduction). `length` is 0.
  bool by_rows = false;
};

/// Which active parameter's gradient lies where: equal on all ranks, in the order in which buckets
/// are launched. Immutable; made by `plan_buckets` alone.
///
/// The last bucket is dense and ends in flags, an element each: for every active parameter whether
/// it got a gradient, then one for "something is wrong on this rank" and one for "this rank had
/// samples". Their sums tell all ranks the same without a collective of their own.
class BucketMap {
 public:
  const std::vector<Bucket>& buckets() const { return buckets_; }
  /// Number of active parameters; each has exactly one slot.
  std::size_t parameters() const { return bucket_of_.size(); }
  std::size_t bucket_of(std::size_t parameter) const { return bucket_of_[parameter]; }
  const BucketSlot& slot_of(std::size_t parameter) const {
    return buckets_[bucket_of_[parameter]].slots[slot_of_[parameter]];
  }
  /// Where the flags begin in the last bucket, in elements.
  std::int64_t flags_offset() const { return flags_offset_; }
  std::int64_t flags_length() const { return static_cast<std::int64_t>(parameters()) + 2; }
  /// 0: reverse order of declaration. 1: the order observed in the stage's first backward.
  int generation() const { return generation_; }
  /// Of all gradients, those that travel by rows at their full size.
  std::int64_t payload_bytes() const { return payload_bytes_; }
  /// Of the gradients that travel by rows.
  std::int64_t by_rows_bytes() const { return by_rows_bytes_; }
  /// Alignment and flags.
  std::int64_t padding_bytes() const { return padding_bytes_; }

  /// Everything that must be equal on all ranks, names and memory layouts included.
  const Facts& facts() const { return facts_; }
  /// Over all of `facts()`.
  const Fingerprint& fingerprint() const { return fingerprint_; }

 private:
  BucketMap() = default;
  friend class BucketMapBuilder;

  std::vector<Bucket> buckets_;
  std::vector<std::size_t> bucket_of_;
  std::vector<std::size_t> slot_of_;
  std::int64_t flags_offset_ = 0;
  int generation_ = 0;
  std::int64_t payload_bytes_ = 0;
  std::int64_t by_rows_bytes_ = 0;
  std::int64_t padding_bytes_ = 0;
  Facts facts_;
  Fingerprint fingerprint_;
};

}  // namespace thaw
