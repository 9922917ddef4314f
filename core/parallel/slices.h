#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace thaw {

// Note [Slices]
// What the ranks share out between them is cut into one slice a rank, of elements in the order in
// which they lie in memory: rank r has [cuts[r], cuts[r + 1]). `cuts` has one number more than
// there are ranks, begins with 0, never falls, and ends with the number of elements; a rank may
// have nothing. It is equal on all ranks.
// Cuts within a parameter lie at multiples of kSliceBytes from its first element, since kernels go
// through a tensor in blocks of vectors and treat what is left at the end otherwise: cut so, every
// element is updated by the same instructions as in the whole parameter, and has the same bits.

/// Where each rank's slice begins, and where the last ends: see Note [Slices].
using Cuts = std::vector<std::int64_t>;

/// Multiples of it are where a parameter may be cut: four of the widest vectors.
inline constexpr std::int64_t kSliceBytes = 256;

/// `elements` cut for `ranks` ranks as evenly as whole `unit`s go, the first ranks one more.
Cuts even_cuts(std::int64_t elements, int ranks, std::int64_t unit);

/// Elements that go from one rank to another where cuts change.
struct SliceMove {
  int from = 0;
  int to = 0;
  std::int64_t first = 0, last = 0;  ///< of the whole

  friend bool operator==(const SliceMove&, const SliceMove&) = default;
};

/// What changes hands between two ways to cut the same elements, in their order. Pure.
std::vector<SliceMove> moves_between(const Cuts& before, const Cuts& after);

/// Throws RunError, naming `what`, where `cuts` do not cut `elements` for `ranks` ranks.
void check_cuts(std::span<const std::int64_t> cuts, std::int64_t elements, int ranks,
                std::string_view what);

/// The memory of `tensor` (dense, without gaps) as one dimension, not a view of it for autograd.
at::Tensor flat(const at::Tensor& tensor);

/// Elements [first, last) of it in the order of memory, likewise.
at::Tensor flat(const at::Tensor& tensor, std::int64_t first, std::int64_t last);

}  // namespace thaw
