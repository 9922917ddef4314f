#include "dist/communicator/mpi/mpi_communicator.h"

#include <ATen/core/Tensor.h>
#include <fmt/format.h>
#include <mpi.h>

#include <algorithm>
#include <limits>
#include <utility>

#include "core/base/error.h"
#include "core/parallel/slices.h"
#include "core/parallel/tensor_checks.h"
#include "dist/communicator/mpi/mpi_check.h"
#include "dist/communicator/mpi/mpi_slices.h"
#include "dist/communicator/mpi/mpi_sum.h"

namespace thaw {

namespace {

// Note [Bits of a sum]
// Floating-point sums depend on their order, so two things are asked of MPI's algorithm.
// The same bits on every rank: all of OpenMPI 4.1's algorithms keep this. Reduce-then-broadcast
// and the ring compute each element on one rank; recursive doubling computes it on all, but only
// ever adds pairs (a + b here, b + a there), which IEEE addition and our bfloat16 operation give
// the same bits. (What two NaNs add up to is the exception; steps with NaNs are skipped.)
// The same bits in every run: `coll/tuned` picks the algorithm by the number of ranks and the
// message's size alone, `coll/han` besides by which ranks share a host; neither by load or time.
// So runs repeat at a fixed number and placement of ranks, with one library and its settings. The
// nonblocking sum has algorithms of its own (`coll/libnbc`, by the same rules), so from 3 ranks on
// its bits differ from the blocking one's, and a job that must repeat uses one of the two.

constexpr std::int64_t kBroadcastPiece = 64 << 20;
constexpr int kMessageTag = 1;

class MpiCommunicator final : public Communicator {
 public:
  /// Takes over `comm`.
  explicit MpiCommunicator(MPI_Comm comm) : comm_(comm) {
    check_mpi(MPI_Comm_set_errhandler(comm_, MPI_ERRORS_RETURN), "MPI_Comm_set_errhandler");
    check_mpi(MPI_Comm_rank(comm_, &rank_), "MPI_Comm_rank");
    check_mpi(MPI_Comm_size(comm_, &size_), "MPI_Comm_size");
  }

  // Not while an exception unwinds: freeing is a collective, and the other ranks may be elsewhere.
  // Nor while a sum that was started is under way: MPI crashes when that goes on.
  ~MpiCommunicator() override {
    if (std::uncaught_exceptions() > unwinding_ || !mpi_is_running()) return;
    if (under_way_.use_count() > 1) return;
    report_mpi(MPI_Comm_free(&comm_), "MPI_Comm_free");
  }

  MpiCommunicator(const MpiCommunicator&) = delete;
  MpiCommunicator& operator=(const MpiCommunicator&) = delete;

  int rank() const override { return rank_; }
  int size() const override { return size_; }

  void all_reduce(at::Tensor& tensor) override {
    check_summable(tensor, "sum");
    mpi_sum(comm_, tensor.mutable_data_ptr(), tensor.numel(), mpi_summation(tensor.scalar_type()));
  }

  void all_reduce(std::span<double> values) override {
    mpi_sum(comm_, values.data(), static_cast<std::int64_t>(values.size()),
            mpi_summation(at::kDouble));
  }

  std::unique_ptr<Work> start_all_reduce(at::Tensor tensor) override {
    check_summable(tensor, "start_all_reduce");
    if (under_way_.use_count() > 1) throw RunError("start_all_reduce: one sum is still under way");
    under_way_ = std::make_shared<at::Tensor>(tensor);
    void* data = tensor.mutable_data_ptr();
    return start_mpi_sum(comm_, under_way_, data, tensor.numel(),
                         mpi_summation(tensor.scalar_type()));
  }

  void reduce_scatter(at::Tensor& tensor, std::span<const std::int64_t> cuts) override {
    slice_sum(tensor, cuts, "reduce_scatter")->finish();
  }

  std::unique_ptr<Work> start_reduce_scatter(at::Tensor tensor,
                                             std::span<const std::int64_t> cuts) override {
    return slice_sum(tensor, cuts, "start_reduce_scatter");
  }

  void all_gather(at::Tensor& tensor, std::span<const std::int64_t> cuts) override {
    check_host_tensor(tensor, "all_gather");
    check_cuts(cuts, tensor.numel(), size_, "all_gather");
    mpi_gather_slices(comm_, rank_, tensor.mutable_data_ptr(), cuts,
                      static_cast<std::int64_t>(tensor.element_size()));
  }

  void broadcast(at::Tensor& tensor, int root) override {
    check_host_tensor(tensor, "broadcast");
    broadcast_bytes(tensor.mutable_data_ptr(), static_cast<std::int64_t>(tensor.nbytes()), root);
  }

  std::string broadcast(std::string bytes, int root) override {
    auto length = static_cast<std::int64_t>(bytes.size());
    broadcast_bytes(&length, sizeof length, root);
    bytes.resize(static_cast<std::size_t>(length));
    broadcast_bytes(bytes.data(), length, root);
    return bytes;
  }

  std::vector<std::string> all_gather(std::string_view bytes) override {
    const auto mine = static_cast<std::int64_t>(bytes.size());
    std::vector<std::int64_t> lengths(static_cast<std::size_t>(size_));
    check_mpi(MPI_Allgather(&mine, 1, MPI_INT64_T, lengths.data(), 1, MPI_INT64_T, comm_),
              "MPI_Allgather");
    // All ranks see the same lengths, so all refuse alike.
    std::int64_t total = 0;
    std::vector<int> counts, offsets;
    for (const std::int64_t length : lengths) {
      offsets.push_back(static_cast<int>(total));
      counts.push_back(static_cast<int>(length));
      total += length;
      if (total > std::numeric_limits<int>::max()) {
        throw RunError("all_gather is for small values, got more than 2 GiB over all ranks");
      }
    }
    std::string all(static_cast<std::size_t>(total), '\0');
    check_mpi(MPI_Allgatherv(bytes.data(), counts[static_cast<std::size_t>(rank_)], MPI_BYTE,
                             all.data(), counts.data(), offsets.data(), MPI_BYTE, comm_),
              "MPI_Allgatherv");
    std::vector<std::string> parts;
    for (std::size_t rank = 0; rank < counts.size(); ++rank) {
      parts.push_back(all.substr(static_cast<std::size_t>(offsets[rank]),
                                 static_cast<std::size_t>(counts[rank])));
    }
    return parts;
  }

  void send(const at::Tensor& tensor, int to) override {
    check_host_tensor(tensor, "send");
    check_peer(to);
    check_mpi(
        MPI_Send(tensor.const_data_ptr(), message_bytes(tensor), MPI_BYTE, to, kMessageTag, comm_),
        "MPI_Send");
  }

  void receive(at::Tensor& tensor, int from) override {
    check_host_tensor(tensor, "receive");
    check_peer(from);
    MPI_Status status;
    check_mpi(MPI_Recv(tensor.mutable_data_ptr(), message_bytes(tensor), MPI_BYTE, from,
                       kMessageTag, comm_, &status),
              "MPI_Recv");
    int bytes = 0;
    check_mpi(MPI_Get_count(&status, MPI_BYTE, &bytes), "MPI_Get_count");
    if (bytes != message_bytes(tensor)) {
      throw RunError(fmt::format("received {} bytes from rank {} where {} were expected", bytes,
                                 from, tensor.nbytes()));
    }
  }

  void barrier() override { check_mpi(MPI_Barrier(comm_), "MPI_Barrier"); }

  std::unique_ptr<Communicator> split(int color) override {
    if (color < 0) throw RunError(fmt::format("split by color {}: colors start at 0", color));
    MPI_Comm part = MPI_COMM_NULL;
    check_mpi(MPI_Comm_split(comm_, color, rank_, &part), "MPI_Comm_split");
    return std::make_unique<MpiCommunicator>(part);
  }

 private:
  std::unique_ptr<MpiSliceSum> slice_sum(at::Tensor& tensor, std::span<const std::int64_t> cuts,
                                         const char* call) {
    check_summable(tensor, call);
    check_cuts(cuts, tensor.numel(), size_, call);
    if (under_way_.use_count() > 1) {
      throw RunError(fmt::format("{}: one sum is still under way", call));
    }
    under_way_ = std::make_shared<at::Tensor>(tensor);
    return std::make_unique<MpiSliceSum>(comm_, rank_, under_way_, tensor.mutable_data_ptr(), cuts,
                                         tensor.scalar_type());
  }

  /// To itself a rank would wait for ever.
  void check_peer(int peer) const {
    if (peer >= 0 && peer < size_ && peer != rank_) return;
    throw RunError(fmt::format("a message between rank {} and rank {} of {}", rank_, peer, size_));
  }

  static int message_bytes(const at::Tensor& tensor) {
    if (tensor.nbytes() > std::numeric_limits<int>::max()) {
      throw RunError("messages of 2 GiB and more are to be sent in pieces");
    }
    return static_cast<int>(tensor.nbytes());
  }

  void broadcast_bytes(void* data, std::int64_t length, int root) {
    auto* next = static_cast<char*>(data);
    while (length > 0) {
      const std::int64_t piece = std::min(length, kBroadcastPiece);
      check_mpi(MPI_Bcast(next, static_cast<int>(piece), MPI_BYTE, root, comm_), "MPI_Bcast");
      next += piece;
      length -= piece;
    }
  }

  MPI_Comm comm_;
  int rank_ = 0;
  int size_ = 1;
  std::shared_ptr<at::Tensor> under_way_;  ///< shared with the Work while one lives
  int unwinding_ = std::uncaught_exceptions();
};

}  // namespace

std::unique_ptr<Communicator> make_mpi_communicator() {
  int provided = MPI_THREAD_SINGLE;
  if (!mpi_is_running() || MPI_Query_thread(&provided) != MPI_SUCCESS ||
      provided < MPI_THREAD_MULTIPLE) {
    throw InputError(
        "MPI must be initialised with MPI_THREAD_MULTIPLE before communicators are made: use "
        "MpiSession, or MPI_Init_thread");
  }
  MPI_Comm world = MPI_COMM_NULL;
  check_mpi(MPI_Comm_dup(MPI_COMM_WORLD, &world), "MPI_Comm_dup");
  return std::make_unique<MpiCommunicator>(world);
}

}  // namespace thaw
