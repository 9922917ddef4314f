#include "core/step/prefix/prefix_runner.h"

#include <c10/core/GradMode.h>

#include <algorithm>
#include <numeric>
#include <utility>

#include "core/base/stopwatch.h"
#include "core/data/batch.h"
#include "core/data/dataset.h"
#include "core/data/loading/batch_assembler.h"
#include "core/kernels/random/draw_scope.h"
#include "core/models/model.h"
#include "core/step/gradient_pass.h"

namespace thaw {
namespace {

/// What a block holds at most: tokens of texts, images.
constexpr std::int64_t kBlockTokens = 1024;
constexpr std::int64_t kBlockImages = 32;
/// The first one, which each run computes to see that a file holds its own values.
constexpr std::int64_t kFirstTokens = 128;
constexpr std::int64_t kFirstImages = 4;

std::vector<std::int64_t> blocks_of(const Split& split) {
  const std::span<const std::int64_t> offsets = split.offsets();
  std::vector<std::int64_t> blocks;
  for (std::int64_t first = 0; first < split.size();) {
    blocks.push_back(first);
    if (offsets.empty()) {
      first += first == 0 ? kFirstImages : kBlockImages;
      continue;
    }
    const std::int64_t most =
        offsets[static_cast<std::size_t>(first)] + (first == 0 ? kFirstTokens : kBlockTokens);
    const auto end = std::upper_bound(offsets.begin() + first + 1, offsets.end(), most);
    first = std::max<std::int64_t>(first + 1, end - offsets.begin() - 1);
  }
  blocks.push_back(split.size());
  return blocks;
}

std::span<const std::int64_t> offsets_of(const Batch& batch) {
  if (!batch.offsets.defined()) return {};
  return {batch.offsets.const_data_ptr<std::int64_t>(),
          static_cast<std::size_t>(batch.offsets.numel())};
}

}  // namespace

PrefixRunner::PrefixRunner(Model& model, const Dataset& dataset, const std::string& split)
    : model_(model),
      split_(dataset.split(split)),
      assembler_(std::make_unique<BatchAssembler>(dataset, split_, AugmentationOptions{},
                                                  /*for_gpu=*/gpu_of(model).has_value())),
      blocks_(blocks_of(split_)) {}

PrefixRunner::~PrefixRunner() = default;

PrefixRunner::Pass::Pass(const PrefixRunner& runner, std::vector<std::int64_t> samples)
    : model_(runner.model_),
      batch_(
          to_model(runner.assembler_->assemble(/*epoch=*/0, std::move(samples)), runner.model_)) {}

std::int64_t PrefixRunner::Pass::tokens() const {
  return batch_.offsets.defined() ? offsets_of(batch_).back() : -1;
}

at::Tensor PrefixRunner::Pass::to(std::size_t boundary) {
  const c10::AutoGradMode no_grad(false);
  const DrawScope scope(
      {.samples = batch_.samples, .offsets = offsets_of(batch_), .device = batch_.rows});
  hidden_ = model_.run(reached_, boundary, std::move(hidden_), batch_);
  reached_ = boundary;
  draws_ = draws_ || !scope.state().calls.empty();
  return hidden_.defined() ? hidden_.to(at::kCPU) : hidden_;
}

PrefixRunner::Outputs PrefixRunner::run(std::vector<std::int64_t> samples,
                                        std::span<const std::size_t> boundaries) const {
  Pass pass(*this, std::move(samples));
  Outputs outputs;
  outputs.samples = pass.samples();
  outputs.tokens = pass.tokens();
  const Stopwatch watch;
  for (const std::size_t boundary : boundaries) {
    outputs.hidden.push_back(pass.to(boundary));
    // Reading it has waited for a device, so that times are those of what was run.
    outputs.seconds.push_back(watch.seconds());
  }
  outputs.draws = pass.draws();
  return outputs;
}

std::vector<std::int64_t> PrefixRunner::samples_of(std::size_t block) const {
  std::vector<std::int64_t> samples(static_cast<std::size_t>(blocks_[block + 1] - blocks_[block]));
  std::iota(samples.begin(), samples.end(), blocks_[block]);
  return samples;
}

PrefixRunner::Outputs PrefixRunner::run_block(std::size_t block,
                                              std::span<const std::size_t> boundaries) const {
  return run(samples_of(block), boundaries);
}

}  // namespace thaw
