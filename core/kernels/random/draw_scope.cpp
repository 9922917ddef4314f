#include "core/kernels/random/draw_scope.h"

#include <cmath>
#include <stdexcept>
#include <utility>

namespace thaw {
namespace {

thread_local DrawScope* innermost = nullptr;

constexpr std::uint32_t low(std::uint64_t x) { return static_cast<std::uint32_t>(x); }
constexpr std::uint32_t high(std::uint64_t x) { return static_cast<std::uint32_t>(x >> 32); }

void check(std::span<const std::int64_t> samples, std::span<const std::int64_t> offsets) {
  if (offsets.empty()) {
    return;
  }
  if (offsets.size() != samples.size() + 1 || offsets.front() != 0) {
    throw std::invalid_argument(
        "DrawScope: offsets must start with 0 and be one more than samples");
  }
  for (std::size_t i = 1; i < offsets.size(); ++i) {
    if (offsets[i] < offsets[i - 1]) {
      throw std::invalid_argument("DrawScope: offsets must not fall");
    }
  }
}

}  // namespace

DropoutKey dropout_key(std::uint64_t seed, std::uint64_t epoch, std::uint32_t site,
                       std::uint32_t call, double probability) {
  if (!(probability >= 0 && probability <= 1)) {
    throw std::invalid_argument("dropout_key: the probability must lie in [0, 1]");
  }
  const Philox::Counter words =
      Philox::draw({low(epoch), high(epoch), site, call}, {low(seed), high(seed)});
  DropoutKey result;
  result.key = {words[0], words[1]};
  result.threshold = static_cast<std::uint32_t>(std::lround(probability * 65536));
  result.scale = result.threshold < 65536 ? 65536.0 / (65536 - result.threshold) : 0.0;
  return result;
}

DrawScope::DrawScope(Rows rows)
    : seed_(rows.seed), epoch_(rows.epoch), fast_(rows.fast), outer_(innermost) {
  check(rows.samples, rows.offsets);
  rows_ = std::make_shared<const SampleRows>(
      SampleRows{.samples = {rows.samples.begin(), rows.samples.end()},
                 .offsets = {rows.offsets.begin(), rows.offsets.end()},
                 .device = std::move(rows.device)});
  innermost = this;
}

DrawScope::DrawScope(State state)
    : seed_(state.seed),
      epoch_(state.epoch),
      rows_(std::move(state.rows)),
      fast_(state.fast),
      calls_(std::move(state.calls)),
      outer_(innermost) {
  innermost = this;
}

DrawScope::~DrawScope() { innermost = outer_; }

DrawScope::Rows DrawScope::rows() const {
  return {.seed = seed_,
          .epoch = epoch_,
          .samples = rows_->samples,
          .offsets = rows_->offsets,
          .device = rows_->device,
          .fast = fast_};
}

DropoutDraws DrawScope::draws(std::uint32_t site, double probability) {
  return {.key = dropout_key(seed_, epoch_, site, calls_[site]++, probability),
          .rows = rows_,
          .fast = fast_};
}

DrawScope* DrawScope::current() { return innermost; }

}  // namespace thaw
