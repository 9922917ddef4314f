#include "core/train/best/best_weights.h"

#include <ATen/core/Tensor.h>
#include <c10/core/GradMode.h>
#include <fmt/format.h>

#include <algorithm>
#include <exception>
#include <utility>

#include "core/base/progress/notice.h"
#include "core/models/model.h"
#include "core/models/model_bytes.h"
#include "core/schedule/stage_plan.h"
#include "core/step/parameter_table.h"

namespace thaw {
namespace {

constexpr std::int64_t kMostBytes = 64 << 20;
/// Seconds between two files for each second that one takes.
constexpr double kRest = 9;
/// Of a plain disk, as long as nothing was written.
constexpr double kSecondsAByte = 5e-9;

/// On the host: a GPU may have no room for them.
std::vector<at::Tensor> copies_of(const std::vector<at::Tensor>& tensors) {
  std::vector<at::Tensor> copies;
  for (const at::Tensor& tensor : tensors) {
    copies.push_back(tensor.detach().to(at::kCPU, tensor.scalar_type(), /*non_blocking=*/false,
                                        /*copy=*/true));
  }
  return copies;
}

void exchange_values(const at::Tensor& tensor, const at::Tensor& value_on_host) {
  const c10::AutoGradMode no_grad(false);
  const at::Tensor value = value_on_host.clone();
  at::Tensor(value_on_host).copy_(tensor);
  at::Tensor(tensor).copy_(value);
}

/// Tensors with other values while this lives, exchanged with those one after another. Nothing is
/// computed with them meanwhile, so what a model has prepared of its weights, which CUDA graphs
/// read in place, stays as it is.
class OtherValues {
 public:
  OtherValues(std::vector<at::Tensor> tensors, std::vector<at::Tensor> values)
      : tensors_(std::move(tensors)), values_(std::move(values)) {
    try {
      for (; exchanged_ < tensors_.size(); ++exchanged_) {
        exchange_values(tensors_[exchanged_], values_[exchanged_]);
      }
    } catch (...) {
      put_back();
      throw;
    }
  }
  ~OtherValues() {
    try {
      put_back();
    } catch (const std::exception& error) {  // of a GPU that fails: then the next step fails too
      say(fmt::format("weights could not be put back: {}\n", error.what()));
    }
  }
  OtherValues(const OtherValues&) = delete;
  OtherValues& operator=(const OtherValues&) = delete;

 private:
  /// Backwards: a buffer that a model has under two names is there twice.
  void put_back() {
    for (; exchanged_ > 0; --exchanged_) {
      exchange_values(tensors_[exchanged_ - 1], values_[exchanged_ - 1]);
    }
  }

  std::vector<at::Tensor> tensors_, values_;
  std::size_t exchanged_ = 0;
};

}  // namespace

bool best_waits(double seconds_since, double seconds_of_a_file, std::int64_t changed) {
  return changed > 0 && changed <= kMostBytes && seconds_since < kRest * seconds_of_a_file;
}

std::int64_t most_waiting(const StagePlan& plan, const Model& model, bool in_segments) {
  std::int64_t changed = 0, largest = 0;
  for (const ParameterFacts& facts : plan.parameters()) {
    const std::int64_t bytes = facts.elements() * static_cast<std::int64_t>(size_of(facts.type));
    changed += bytes;
    largest = std::max(largest, bytes);
  }
  changed += bytes_of_tensors(model.buffers());
  if (changed <= kMostBytes) return changed + largest;
  // A segment may change less than the stage, of which all is too much to wait.
  return in_segments ? kMostBytes + std::min(largest, kMostBytes) : 0;
}

BestWeights::BestWeights(const Model& model, const ParameterTable& parameters, Settings settings)
    : model_(model),
      parameters_(parameters),
      settings_(std::move(settings)),
      seconds_of_a_file_(kSecondsAByte *
                         static_cast<double>(bytes_of_tensors(parameters.tensors()))) {}

BestWeights::~BestWeights() = default;

void BestWeights::enter_stage(std::set<std::string> active) {
  write_waiting();  // of a stage that changed other tensors
  active_ = std::move(active);
}

void BestWeights::evaluated(bool best) {
  if (!settings_.save) return;
  if (best) {
    waiting_.clear();
    const std::vector<at::Tensor> tensors = changed();
    if (!may_wait(tensors)) return write();
    waiting_ = copies_of(tensors);
  } else if (!waiting_.empty() && !may_wait(waiting_)) {
    write_waiting();
  }
}

void BestWeights::write_waiting() {
  if (waiting_.empty()) return;
  const OtherValues then(changed(), std::exchange(waiting_, {}));
  write();
}

std::vector<at::Tensor> BestWeights::changed() const {
  std::vector<at::Tensor> tensors;
  for (std::size_t i = 0; i < parameters_.size(); ++i) {
    if (active_.contains(parameters_.facts()[i].name)) tensors.push_back(parameters_.tensors()[i]);
  }
  for (const auto& buffer : model_.named_buffers()) tensors.push_back(buffer.value());
  return tensors;
}

bool BestWeights::may_wait(const std::vector<at::Tensor>& changed) const {
  return settings_.may_wait &&
         best_waits(since_.seconds(), seconds_of_a_file_, bytes_of_tensors(changed));
}

void BestWeights::write() {
  const Stopwatch watch;
  settings_.save();
  seconds_of_a_file_ = watch.seconds();
  since_.lap();
}

}  // namespace thaw
