#pragma once

#include <cstdint>

namespace thaw {

/// What a tensor is cut into on its way, where it is longer: Note [Pieces] in mpi_sum.cpp and
/// Note [Slices by messages] in mpi_slices.cpp.
inline constexpr std::int64_t kSumPieceBytes = 4 << 20;
inline constexpr std::int64_t kSlicePieceBytes = 1 << 20;  ///< that each other rank sends at a time

}  // namespace thaw
