#pragma once

#include <c10/core/ScalarType.h>
#include <mpi.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "core/parallel/communicator.h"

namespace thaw {

/// A sum of which each rank gets its slice: see Communicator::reduce_scatter and
/// Note [Slices by messages] in mpi_slices.cpp. Starts when it is made; MPI is running.
class MpiSliceSum final : public Work {
 public:
  /// `owner` keeps the memory at `data` alive until it is done. `cuts` have been checked.
  MpiSliceSum(MPI_Comm comm, int rank, std::shared_ptr<void> owner, void* data,
              std::span<const std::int64_t> cuts, c10::ScalarType type);
  ~MpiSliceSum() override;
  MpiSliceSum(const MpiSliceSum&) = delete;
  MpiSliceSum& operator=(const MpiSliceSum&) = delete;

  bool poll() override;
  /// Sleeps between looks: for a thread that may share its core with one that computes.
  void wait() override;
  /// The same without sleeping, as MPI's own blocking calls wait.
  void finish();

 private:
  void start_next();
  void add_up();

  MPI_Comm comm_;
  std::size_t rank_;
  std::shared_ptr<void> owner_;
  char* data_;
  std::vector<std::int64_t> cuts_;
  c10::ScalarType type_;
  std::int64_t element_;               ///< bytes
  std::int64_t piece_;                 ///< elements
  std::int64_t begun_ = 0;             ///< elements of the longest slice
  std::vector<std::vector<char>> in_;  ///< of each rank: what has come of the piece
  std::vector<MPI_Request> requests_;
};

/// Gives every rank what each has in its slice of the memory at `data`; blocks. `element`: bytes.
void mpi_gather_slices(MPI_Comm comm, int rank, void* data, std::span<const std::int64_t> cuts,
                       std::int64_t element);

}  // namespace thaw
