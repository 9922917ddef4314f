#pragma once

#include <any>
#include <cstdint>
#include <functional>
#include <memory>

#include "dist/data_parallel/data_parallel.h"

namespace thaw {

class WeightedSteps;

/// Runs a module's forward and lets the backward through what it returned find the steps of the
/// active set that it belongs to, for as long as there are such.
class ForwardLink {
 public:
  void set(AnyForward forward) { forward_ = std::move(forward); }

  /// The steps of the active set that begins; null: there is none. Backwards through what was
  /// computed before are refused.
  void enter(WeightedSteps* steps);

  /// See DataParallel::forward.
  std::any run(AnyForward::Arguments& arguments);

 private:
  struct Target {
    WeightedSteps* steps = nullptr;  ///< null: a later active set's time
  };
  AnyForward forward_;
  std::shared_ptr<Target> target_;
};

}  // namespace thaw
