#include "core/parallel/local_reducer.h"

#include <vector>

#include "core/parallel/gradient_set.h"

namespace thaw {

namespace {

class LocalReducer final : public GradientReducer {
 public:
  LocalReducer(std::span<const NamedParameter> active, std::span<const NamedParameter> frozen)
      : active_(without_ties(active, frozen)), frozen_(frozen.begin(), frozen.end()) {}

  void begin(SampleShare) override { drop_gradients(active_); }
  void last_backward() override {}
  void finish() override {
    const std::string fault = gradient_set_fault(active_, frozen_);
    if (fault.empty()) return;
    ReductionMismatch mismatch(fault);
    mismatch.mark_agreed();
    throw mismatch;
  }
  ReductionCounters counters() const override { return {}; }

 private:
  std::vector<NamedParameter> active_;
  std::vector<NamedParameter> frozen_;
};

}  // namespace

std::unique_ptr<GradientReducer> make_local_reducer(std::span<const NamedParameter> active,
                                                    std::span<const NamedParameter> frozen) {
  return std::make_unique<LocalReducer>(active, frozen);
}

}  // namespace thaw
