#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace thaw {

/// Small messages from rank to rank that wait for nobody, on a communicator of their own: for what
/// must get through while collectives hang.
///
/// Not thread-safe: one instance belongs to one thread at a time, which may be another one than
/// that of the collectives. Throws RunError where the transport breaks.
class MessageChannel {
 public:
  struct Message {
    int from = 0;
    std::string bytes;
  };

  virtual ~MessageChannel() = default;

  virtual int rank() const = 0;
  virtual int size() const = 0;

  /// Starts to send a copy of `bytes` and returns at once. False where the message before to the
  /// same rank is still under way, since that rank takes none: nothing is sent then.
  virtual bool send(int to, std::string_view bytes) = 0;

  /// A message that has arrived, or nothing. Returns at once.
  virtual std::optional<Message> receive() = 0;

  /// Ends the channel in order: every message that was sent has been received, and no other will
  /// be sent by any rank. A channel that is destroyed without it leaves what it holds to the
  /// process's end, and waits for nobody.
  virtual void close() = 0;
};

/// A collective over all ranks of the MPI job; MPI runs with MPI_THREAD_MULTIPLE.
std::unique_ptr<MessageChannel> make_mpi_message_channel();

/// Channels of `ranks` ranks that are threads of this process, for tests; element r is rank r's.
std::vector<std::unique_ptr<MessageChannel>> make_in_process_channels(int ranks);

}  // namespace thaw
