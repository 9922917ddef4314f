#include <mpi.h>

#include <list>
#include <utility>

#include "dist/communicator/message_channel.h"
#include "dist/communicator/mpi/mpi_check.h"

namespace thaw {

namespace {

constexpr int kTag = 0;

// Note [A peer that is stopped]
// A stopped process takes no messages, and may have stopped half way through sending one. So
// nothing here blocks: one send to a rank is under way at a time, and a message that has been
// matched is received in the background (MPI_Imrecv) where MPI_Recv would wait for the rest of it.
class MpiMessageChannel final : public MessageChannel {
 public:
  MpiMessageChannel() {
    check_mpi(MPI_Comm_dup(MPI_COMM_WORLD, &comm_), "MPI_Comm_dup");
    check_mpi(MPI_Comm_set_errhandler(comm_, MPI_ERRORS_RETURN), "MPI_Comm_set_errhandler");
    check_mpi(MPI_Comm_rank(comm_, &rank_), "MPI_Comm_rank");
    check_mpi(MPI_Comm_size(comm_, &size_), "MPI_Comm_size");
    traffic_ = std::make_unique<Traffic>();
    traffic_->outgoing.resize(static_cast<std::size_t>(size_));
  }

  // MPI may still read and write the buffers of what is under way: they stay until the end.
  ~MpiMessageChannel() override {
    if (!closed_) traffic_.release();
  }

  MpiMessageChannel(const MpiMessageChannel&) = delete;
  MpiMessageChannel& operator=(const MpiMessageChannel&) = delete;

  int rank() const override { return rank_; }
  int size() const override { return size_; }

  bool send(int to, std::string_view bytes) override {
    Transfer& transfer = traffic_->outgoing[static_cast<std::size_t>(to)];
    if (!is_done(transfer)) return false;
    transfer.bytes = bytes;
    check_mpi(MPI_Isend(transfer.bytes.data(), static_cast<int>(transfer.bytes.size()), MPI_BYTE,
                        to, kTag, comm_, &transfer.request),
              "MPI_Isend");
    return true;
  }

  std::optional<Message> receive() override {
    match();
    for (auto transfer = traffic_->incoming.begin(); transfer != traffic_->incoming.end();
         ++transfer) {
      if (!is_done(*transfer)) continue;
      Message message{transfer->peer, std::move(transfer->bytes)};
      traffic_->incoming.erase(transfer);
      return message;
    }
    return std::nullopt;
  }

  void close() override {
    for (Transfer& transfer : traffic_->outgoing) wait(transfer);
    for (Transfer& transfer : traffic_->incoming) wait(transfer);
    check_mpi(MPI_Comm_free(&comm_), "MPI_Comm_free");
    closed_ = true;
  }

 private:
  struct Transfer {
    int peer = 0;
    std::string bytes;
    MPI_Request request = MPI_REQUEST_NULL;
  };
  struct Traffic {
    std::vector<Transfer> outgoing;  ///< by receiver
    std::list<Transfer> incoming;    ///< matched; addresses stay
  };

  static bool is_done(Transfer& transfer) {
    int done = 0;
    check_mpi(MPI_Test(&transfer.request, &done, MPI_STATUS_IGNORE), "MPI_Test");
    return done != 0;
  }

  static void wait(Transfer& transfer) {
    check_mpi(MPI_Wait(&transfer.request, MPI_STATUS_IGNORE), "MPI_Wait");
  }

  /// Begins to receive whatever has arrived.
  void match() {
    while (true) {
      int found = 0;
      MPI_Message message = MPI_MESSAGE_NULL;
      MPI_Status status;
      check_mpi(MPI_Improbe(MPI_ANY_SOURCE, kTag, comm_, &found, &message, &status), "MPI_Improbe");
      if (!found) return;
      int bytes = 0;
      check_mpi(MPI_Get_count(&status, MPI_BYTE, &bytes), "MPI_Get_count");
      Transfer& transfer = traffic_->incoming.emplace_back();
      transfer.peer = status.MPI_SOURCE;
      transfer.bytes.resize(static_cast<std::size_t>(bytes));
      check_mpi(MPI_Imrecv(transfer.bytes.data(), bytes, MPI_BYTE, &message, &transfer.request),
                "MPI_Imrecv");
    }
  }

  MPI_Comm comm_ = MPI_COMM_NULL;
  int rank_ = 0;
  int size_ = 1;
  bool closed_ = false;
  std::unique_ptr<Traffic> traffic_;
};

}  // namespace

std::unique_ptr<MessageChannel> make_mpi_message_channel() {
  return std::make_unique<MpiMessageChannel>();
}

}  // namespace thaw
