#include "core/parallel/communicator.h"

#include <ATen/core/Tensor.h>

namespace thaw {

namespace {

class DoneSum final : public PendingSum {
 public:
  bool poll() override { return true; }
  void wait() override {}
};

}  // namespace

std::unique_ptr<PendingSum> Communicator::start_sum(at::Tensor tensor) {
  sum(tensor);
  return std::make_unique<DoneSum>();
}

}  // namespace thaw
