#include "core/parallel/self_communicator.h"

#include <fmt/format.h>

#include "core/base/error.h"
#include "core/parallel/tensor_checks.h"

namespace thaw {

namespace {

void check_root(int root) {
  if (root != 0) throw RunError(fmt::format("broadcast from rank {} in a job of one rank", root));
}

class SelfCommunicator final : public Communicator {
 public:
  int rank() const override { return 0; }
  int size() const override { return 1; }
  // Refuses what a communicator of several ranks would refuse, but takes tensors on any device.
  void all_reduce(at::Tensor& tensor) override {
    if (!tensor.defined() || tensor.is_cpu()) check_summable(tensor, "sum");
  }
  void all_reduce(std::span<double>) override {}
  void broadcast(at::Tensor& tensor, int root) override {
    if (!tensor.defined() || tensor.is_cpu()) check_host_tensor(tensor, "broadcast");
    check_root(root);
  }
  std::string broadcast(std::string bytes, int root) override {
    check_root(root);
    return bytes;
  }
  std::vector<std::string> all_gather(std::string_view bytes) override {
    return {std::string(bytes)};
  }
  void barrier() override {}
  std::unique_ptr<Communicator> split(int) override { return make_self_communicator(); }
};

}  // namespace

std::unique_ptr<Communicator> make_self_communicator() {
  return std::make_unique<SelfCommunicator>();
}

}  // namespace thaw
