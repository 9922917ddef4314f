#pragma once

#include <ATen/core/Tensor.h>

#include <cstddef>
#include <functional>
#include <memory>
#include <vector>

#include "core/step/frozen_prefix.h"
#include "core/step/timing/work_mark.h"

namespace thaw {

class Model;
class PrefixSource;
struct Batch;

/// Measures which of a model's groups the time of forward and backward goes to, by running them one
/// after another and hearing when backward passes from one to the next. The numbers that come out
/// are the same as without it. See Note [Times of what is queued].
class GroupClock {
 public:
  explicit GroupClock(MakeWorkMark make_mark = work_marks());

  /// As forward_past_prefix (core/step/frozen_prefix.h). `before` is called before each group that
  /// is run, in none's time.
  at::Tensor forward(Model& model, std::size_t cut, const Batch& batch,
                     const PrefixSource* source = nullptr, const BeforeGroup& before = {});
  /// Times `backward`, of what the last `forward` led to.
  void backward(const std::function<void()>& backward);

  /// Of all passes so far, of each of the model's own groups; empty where the model runs as a whole
  /// and does not tell (ModuleModel), and where a graph was captured meanwhile. On a GPU: waits for
  /// these passes.
  const std::vector<double>& seconds();
  /// Of them, what forward took.
  const std::vector<double>& forward_seconds();

 private:
  using Mark = std::shared_ptr<WorkMark>;
  /// Between two marks all was one group's.
  struct Lap {
    std::size_t group;
    Mark begin, end;
    bool forward;
  };

  Mark mark();
  void passed(std::size_t group);

  MakeWorkMark make_mark_;
  std::vector<Lap> laps_;
  std::vector<double> seconds_, forward_seconds_;
  bool tells_ = true;
  Mark last_;           ///< since when backward is at `at_`
  std::size_t at_ = 0;  ///< behind the group whose backward is under way
};

}  // namespace thaw
