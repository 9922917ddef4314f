#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "core/parallel/communicator.h"
#include "core/parallel/slices.h"
#include "core/parallel/stage_coordinator.h"

namespace thaw {

/// Whether a gradient of `parameter` could travel by rows at all: a dense matrix on the host, large
/// enough for that to matter.
bool may_travel_by_rows(const at::Tensor& parameter);

/// How many rows of `gradient` (of a parameter that may travel by rows) are not all zero.
std::int64_t touched_rows(const at::Tensor& gradient);

/// Sums a gradient over the ranks of which few rows are not zero, as an embedding's: 64 texts of 32
/// tokens touch at most 2,048 of 30,522 rows.
///
/// The ranks first sum a mark a row, then just the rows that any of them touched; all others are
/// zero on every rank and stay so. Where more than half of all rows were touched, the gradient is
/// summed as it is: the verdict is taken on the sum of marks, so it is the same on all ranks. The
/// result is the dense sum's, to rounding, and has the same bits on every rank.
///
/// One call at a time; keeps its buffers for the next.
class RowReduction {
 public:
  /// `cuts`, between rows, not empty: each rank gets its slice of the sum alone (Note [Slices]).
  explicit RowReduction(const at::Tensor& parameter, Cuts cuts = {});

  /// A collective: replaces `gradient` (shape and strides of the parameter) by its sum. Returns the
  /// bytes that travelled for it, marks included.
  std::int64_t sum(at::Tensor& gradient, Communicator& communicator);

 private:
  void sum_whole(at::Tensor& gradient, Communicator& communicator) const;
  /// Sums `packed`, which holds the rows `touched`.
  void sum_rows(at::Tensor& packed, const std::vector<std::int64_t>& touched,
                Communicator& communicator) const;
  std::vector<std::int64_t> marked_rows() const;

  const Cuts cuts_;

  at::Tensor marks_;  ///< bfloat16, one a row
  at::Tensor rows_;   ///< room for those that travel
};

}  // namespace thaw
