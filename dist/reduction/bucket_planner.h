#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "dist/reduction/bucket_map.h"
#include "dist/reduction/reducer_options.h"

namespace thaw {

/// What the planner needs to know of one active parameter.
struct BucketEntry {
  std::string name;
  std::vector<std::int64_t> shape;
  std::vector<std::int64_t> strides;  ///< of its gradient's memory: elements of ranks must match
  ElementType type = ElementType::kFloat32;
  std::string device = "cpu";  ///< the kind, without an index
  bool by_rows = false;        ///< travels as touched rows, in a bucket of its own
};

/// The cap for `active_bytes` of gradients where none is given, in host memory or on GPUs.
std::int64_t bucket_cap(std::int64_t active_bytes, bool on_gpus = false);

/// Puts the gradients of `parameters` into buckets. Pure: the same on every rank for equal input.
///
/// `order` lists the parameters' indices in the order in which they are expected to become ready
/// and is a permutation of them; empty: the reverse of declaration, which is generation 0. A
/// parameter larger than the cap gets a bucket of its own.
BucketMap plan_buckets(std::span<const BucketEntry> parameters, const BucketOptions& options,
                       std::span<const std::size_t> order = {});

}  // namespace thaw
