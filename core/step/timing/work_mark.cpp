#include "core/step/timing/work_mark.h"

#include "core/base/stopwatch.h"

namespace thaw {
namespace {

const Stopwatch process_clock;

class HostMark final : public WorkMark {
 public:
  bool set() override {
    at_ = process_clock.seconds();
    return true;
  }
  bool passed() const override { return true; }
  double seconds_since(const WorkMark& earlier) const override {
    return at_ - static_cast<const HostMark&>(earlier).at_;
  }

 private:
  double at_ = 0;
};

}  // namespace

MakeWorkMark work_marks(std::optional<c10::Device> gpu) {
#if defined(THAW_HAVE_CUDA)
  if (gpu) return [gpu] { return make_gpu_mark(*gpu); };
#endif
  (void)gpu;
  return [] { return std::make_unique<HostMark>(); };
}

}  // namespace thaw
