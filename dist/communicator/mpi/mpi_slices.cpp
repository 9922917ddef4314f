#include "dist/communicator/mpi/mpi_slices.h"

#include <algorithm>
#include <chrono>
#include <thread>
#include <utility>

#include "dist/communicator/mpi/mpi_check.h"
#include "dist/communicator/mpi/piece_bytes.h"
#include "dist/communicator/ordered_sum.h"

namespace thaw {

namespace {

// Note [Slices by messages]
// MPI_Reduce_scatter counts in int, puts the slice elsewhere than where it was, and knows no
// bfloat16 without a type of our own; its order of additions is the library's. So each rank sends
// every other one its part of that one's slice and adds up what comes in the order of ranks: the
// bytes are the fewest possible ((N - 1) / N of the whole, each way), and the bits those of
// in-process ranks. It goes in pieces of a slice, whose buffers stay in cache as in
// Note [Pieces] in mpi_sum.cpp.

constexpr std::int64_t kMostBytes = 1 << 30;  ///< of a message: MPI counts in int
constexpr int kScatterTag = 2;
constexpr int kGatherTag = 3;

std::int64_t longest_slice(std::span<const std::int64_t> cuts) {
  std::int64_t longest = 0;
  for (std::size_t i = 0; i + 1 < cuts.size(); ++i) {
    longest = std::max(longest, cuts[i + 1] - cuts[i]);
  }
  return longest;
}

}  // namespace

MpiSliceSum::MpiSliceSum(MPI_Comm comm, int rank, std::shared_ptr<void> owner, void* data,
                         std::span<const std::int64_t> cuts, c10::ScalarType type)
    : comm_(comm),
      rank_(static_cast<std::size_t>(rank)),
      owner_(std::move(owner)),
      data_(static_cast<char*>(data)),
      cuts_(cuts.begin(), cuts.end()),
      type_(type),
      element_(static_cast<std::int64_t>(c10::elementSize(type))),
      piece_(kSlicePieceBytes / element_),
      in_(cuts.size() - 1) {
  const std::int64_t own = std::min(piece_, cuts_[rank_ + 1] - cuts_[rank_]);
  for (std::size_t other = 0; other < in_.size(); ++other) {
    if (other != rank_) in_[other].resize(static_cast<std::size_t>(own * element_));
  }
  if (in_.size() == 1) begun_ = longest_slice(cuts_);
  start_next();
}

// MPI still writes to the memory of a request that is under way, so leaving it is not an option.
MpiSliceSum::~MpiSliceSum() {
  if (requests_.empty()) return;
  report_mpi(MPI_Waitall(static_cast<int>(requests_.size()), requests_.data(), MPI_STATUSES_IGNORE),
             "MPI_Waitall");
}

void MpiSliceSum::start_next() {
  if (begun_ >= longest_slice(cuts_)) return;
  const auto length_of = [&](std::size_t rank) {
    return std::clamp<std::int64_t>(cuts_[rank + 1] - cuts_[rank] - begun_, 0, piece_);
  };
  const auto own_bytes = static_cast<int>(length_of(rank_) * element_);
  for (std::size_t i = 1; i < in_.size(); ++i) {
    // Each begins with the next one, so that not all send to the first.
    const std::size_t other = (rank_ + i) % in_.size();
    if (own_bytes > 0) {
      check_mpi(MPI_Irecv(in_[other].data(), own_bytes, MPI_BYTE, static_cast<int>(other),
                          kScatterTag, comm_, &requests_.emplace_back(MPI_REQUEST_NULL)),
                "MPI_Irecv");
    }
    const auto bytes = static_cast<int>(length_of(other) * element_);
    if (bytes > 0) {
      check_mpi(MPI_Isend(data_ + (cuts_[other] + begun_) * element_, bytes, MPI_BYTE,
                          static_cast<int>(other), kScatterTag, comm_,
                          &requests_.emplace_back(MPI_REQUEST_NULL)),
                "MPI_Isend");
    }
  }
}

void MpiSliceSum::add_up() {
  requests_.clear();
  const std::int64_t length =
      std::clamp<std::int64_t>(cuts_[rank_ + 1] - cuts_[rank_] - begun_, 0, piece_);
  char* own = data_ + (cuts_[rank_] + begun_) * element_;
  std::vector<const void*> sources;
  for (std::size_t rank = 0; rank < in_.size(); ++rank) {
    sources.push_back(rank == rank_ ? own : in_[rank].data());
  }
  add_in_order(sources, own, length, type_);
  begun_ += piece_;
}

bool MpiSliceSum::poll() {
  while (begun_ < longest_slice(cuts_)) {
    int done = 0;
    check_mpi(MPI_Testall(static_cast<int>(requests_.size()), requests_.data(), &done,
                          MPI_STATUSES_IGNORE),
              "MPI_Testall");
    if (!done) return false;
    add_up();
    start_next();
  }
  return true;
}

void MpiSliceSum::wait() {
  while (!poll()) std::this_thread::sleep_for(std::chrono::microseconds(20));
}

void MpiSliceSum::finish() {
  while (begun_ < longest_slice(cuts_)) {
    check_mpi(
        MPI_Waitall(static_cast<int>(requests_.size()), requests_.data(), MPI_STATUSES_IGNORE),
        "MPI_Waitall");
    add_up();
    start_next();
  }
}

void mpi_gather_slices(MPI_Comm comm, int rank, void* data, std::span<const std::int64_t> cuts,
                       std::int64_t element) {
  const std::size_t ranks = cuts.size() - 1;
  const auto self = static_cast<std::size_t>(rank);
  std::vector<MPI_Request> requests;
  const auto pieces_of = [&](std::size_t slice, const auto& call) {
    char* begin = static_cast<char*>(data) + cuts[slice] * element;
    std::int64_t left = (cuts[slice + 1] - cuts[slice]) * element;
    while (left > 0) {
      const std::int64_t bytes = std::min(left, kMostBytes);
      call(begin, static_cast<int>(bytes), &requests.emplace_back(MPI_REQUEST_NULL));
      begin += bytes;
      left -= bytes;
    }
  };
  for (std::size_t i = 1; i < ranks; ++i) {
    const std::size_t from = (self + ranks - i) % ranks;
    pieces_of(from, [&](char* begin, int bytes, MPI_Request* request) {
      check_mpi(
          MPI_Irecv(begin, bytes, MPI_BYTE, static_cast<int>(from), kGatherTag, comm, request),
          "MPI_Irecv");
    });
  }
  for (std::size_t i = 1; i < ranks; ++i) {
    const std::size_t to = (self + i) % ranks;
    pieces_of(self, [&](char* begin, int bytes, MPI_Request* request) {
      check_mpi(MPI_Isend(begin, bytes, MPI_BYTE, static_cast<int>(to), kGatherTag, comm, request),
                "MPI_Isend");
    });
  }
  check_mpi(MPI_Waitall(static_cast<int>(requests.size()), requests.data(), MPI_STATUSES_IGNORE),
            "MPI_Waitall");
}

}  // namespace thaw
