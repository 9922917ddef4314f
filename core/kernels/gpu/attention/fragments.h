#pragma once

#include "core/kernels/gpu/arithmetic.h"

// Note [Fragments]
// A tensor core multiplies a [16, 16] by a [16, 8] of bfloat16 and adds the product to a [16, 8] of
// float32: mma.m16n8k16 of PTX. The threads of a warp hold them in pieces. With g = lane / 4 and
// p = lane % 4 * 2, a lane's words, of two neighbours each, are
//   of A  rows g, g + 8, g, g + 8 at columns p, p, p + 8, p + 8;
//   of B  column g at rows p and p + 8 (the neighbours lie one below the other);
// and its numbers of C are rows g, g, g + 8, g + 8 at columns p, p + 1, p, p + 1.
// So what is an A for the next product can be packed from two neighbouring Cs without exchange.

namespace thaw::gpu {

struct FragmentA {
  std::uint32_t at[4];
};
struct FragmentB {
  std::uint32_t at[2];
};
struct FragmentC {
  float at[4];
};

/// g and p of the note.
THAW_DEVICE int fragment_row(int thread) { return thread % 32 / 4; }
THAW_DEVICE int fragment_column(int thread) { return thread % 4 * 2; }

THAW_DEVICE std::uint32_t word_of(BFloat16Bits low, BFloat16Bits high) {
  return low.bits | static_cast<std::uint32_t>(high.bits) << 16;
}
THAW_DEVICE std::uint32_t word_of(float low, float high) {
  return word_of(Narrow<BFloat16Bits>::of(low), Narrow<BFloat16Bits>::of(high));
}

/// A matrix of bfloat16 in a team's shared memory, whose rows lie so that no two lanes of a
/// fragment want the same bank.
template <typename Shared, int D>
struct Tile {
  static constexpr int kRow = D + 8;
  Shared memory;

  THAW_DEVICE std::uint32_t word(int row, int column) const {
    const auto pair = memory.template pack<2>(row * kRow + column);
    return word_of(pair.at[0], pair.at[1]);
  }
  THAW_DEVICE BFloat16Bits at(int row, int column) const { return memory.get(row * kRow + column); }

  /// Rows [row, row + 16) and columns [column, column + 16) as an A.
  THAW_DEVICE FragmentA as_a(int row, int column, int thread) const {
    const int r = row + fragment_row(thread), c = column + fragment_column(thread);
    return {{word(r, c), word(r + 8, c), word(r, c + 8), word(r + 8, c + 8)}};
  }
  /// The transpose of rows [row, row + 8), columns [column, column + 16), as a B.
  THAW_DEVICE FragmentB rows_as_b(int row, int column, int thread) const {
    const int r = row + fragment_row(thread), c = column + fragment_column(thread);
    return {{word(r, c), word(r, c + 8)}};
  }
  /// Rows [row, row + 16) and columns [column, column + 8) as a B.
  THAW_DEVICE FragmentB as_b(int row, int column, int thread) const {
    const int r = row + fragment_column(thread), c = column + fragment_row(thread);
    return {{word_of(at(r, c), at(r + 1, c)), word_of(at(r + 8, c), at(r + 9, c))}};
  }
};

/// Two neighbouring Cs, [16, 8] each, as an A.
THAW_DEVICE FragmentA packed(const FragmentC& left, const FragmentC& right) {
  return {{word_of(left.at[0], left.at[1]), word_of(left.at[2], left.at[3]),
           word_of(right.at[0], right.at[1]), word_of(right.at[2], right.at[3])}};
}

}  // namespace thaw::gpu
