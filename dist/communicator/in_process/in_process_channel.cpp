#include <deque>
#include <mutex>
#include <utility>

#include "dist/communicator/message_channel.h"

namespace thaw {

namespace {

struct Mailbox {
  std::mutex mutex;
  std::deque<MessageChannel::Message> messages;
};

class InProcessChannel final : public MessageChannel {
 public:
  InProcessChannel(std::shared_ptr<std::vector<Mailbox>> boxes, int rank)
      : boxes_(std::move(boxes)), rank_(rank) {}

  int rank() const override { return rank_; }
  int size() const override { return static_cast<int>(boxes_->size()); }

  bool send(int to, std::string_view bytes) override {
    Mailbox& box = (*boxes_)[static_cast<std::size_t>(to)];
    const std::lock_guard lock(box.mutex);
    box.messages.push_back({rank_, std::string(bytes)});
    return true;
  }

  std::optional<Message> receive() override {
    Mailbox& box = (*boxes_)[static_cast<std::size_t>(rank_)];
    const std::lock_guard lock(box.mutex);
    if (box.messages.empty()) return std::nullopt;
    Message message = std::move(box.messages.front());
    box.messages.pop_front();
    return message;
  }

  void close() override {}

 private:
  std::shared_ptr<std::vector<Mailbox>> boxes_;
  int rank_;
};

}  // namespace

std::vector<std::unique_ptr<MessageChannel>> make_in_process_channels(int ranks) {
  const auto boxes = std::make_shared<std::vector<Mailbox>>(static_cast<std::size_t>(ranks));
  std::vector<std::unique_ptr<MessageChannel>> channels;
  for (int rank = 0; rank < ranks; ++rank) {
    channels.push_back(std::make_unique<InProcessChannel>(boxes, rank));
  }
  return channels;
}

}  // namespace thaw
