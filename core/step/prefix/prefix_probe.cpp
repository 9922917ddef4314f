#include "core/step/prefix/prefix_probe.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/equal.h>

#include <algorithm>
#include <optional>
#include <vector>

#include "core/data/split.h"
#include "core/step/prefix/prefix_runner.h"

namespace thaw {
namespace {

/// Outputs of the first samples, as blocks have them: as many blocks as somebody asks for.
class Reference {
 public:
  Reference(const PrefixRunner& runner, std::span<const std::size_t> boundaries,
            const PrefixProbe& probe)
      : runner_(runner), boundaries_(boundaries), probe_(probe), rows_(probe.first_block) {}

  /// At least `samples` of them, of which there are so many.
  void extend(std::int64_t samples) {
    for (; known() < samples; ++blocks_) {
      const PrefixRunner::Outputs outputs = runner_.run_block(blocks_, boundaries_);
      for (std::size_t b = 0; b < boundaries_.size(); ++b) {
        rows_[b] = at::cat({rows_[b], laid_out(outputs.hidden[b], probe_.layouts[b])});
      }
    }
  }
  std::int64_t known() const { return runner_.blocks()[blocks_]; }
  const at::Tensor& rows(std::size_t boundary) const { return rows_[boundary]; }

 private:
  const PrefixRunner& runner_;
  std::span<const std::size_t> boundaries_;
  const PrefixProbe& probe_;
  std::vector<at::Tensor> rows_;
  std::size_t blocks_ = 1;
};

/// Every `stride`th sample of `limit`, from the last one back, round and round: those of the blocks
/// that were run last, which are larger than the first, come first.
std::vector<std::int64_t> every(std::int64_t stride, std::int64_t count, std::int64_t limit) {
  std::vector<std::int64_t> samples;
  for (std::int64_t i = 0; i < count; ++i) samples.push_back(limit - 1 - i * stride % limit);
  return samples;
}

/// The rows of these samples.
at::Tensor rows_of(const at::Tensor& all, const ActivationLayout& layout,
                   std::span<const std::int64_t> offsets,
                   const std::vector<std::int64_t>& samples) {
  std::vector<at::Tensor> rows;
  for (const std::int64_t sample : samples) {
    const std::int64_t first = layout.by_token
                                   ? offsets[static_cast<std::size_t>(sample)] - offsets.front()
                                   : sample * layout.rows;
    const std::int64_t count = layout.by_token ? offsets[static_cast<std::size_t>(sample) + 1] -
                                                     offsets[static_cast<std::size_t>(sample)]
                                               : layout.rows;
    rows.push_back(all.narrow(0, first, count));
  }
  return at::cat(rows);
}

void compare(const at::Tensor& found, const at::Tensor& expected, PrefixProbe& probe) {
  if (at::equal(found, expected)) return;
  probe.same_bits = false;
  const double largest = expected.abs().max().item().toDouble();
  const double difference =
      found.to(at::kDouble).sub(expected.to(at::kDouble)).abs().max().item().toDouble();
  probe.difference = std::max(probe.difference, difference / std::max(largest, 1e-30));
}

}  // namespace

PrefixProbe probe_prefix(const PrefixRunner& runner, std::span<const std::size_t> boundaries,
                         std::span<const std::int64_t> sizes) {
  PrefixProbe probe;
  const PrefixRunner::Outputs first = runner.run_block(0, boundaries);
  if (first.draws) {
    probe.problem = "something below it is drawn at random in each step";
    return probe;
  }
  for (std::size_t b = 0; b < boundaries.size(); ++b) {
    if (!first.hidden[b].defined()) {
      probe.problem = "the model does not run group by group";
      return probe;
    }
    const std::optional<ActivationLayout> layout =
        layout_of(first.hidden[b], first.samples, first.tokens);
    if (!layout) {
      probe.problem = "its rows belong to neither samples nor tokens";
      return probe;
    }
    probe.layouts.push_back(*layout);
    probe.first_block.push_back(laid_out(first.hidden[b], *layout));
  }
  const std::int64_t samples = runner.split().size();
  Reference reference(runner, boundaries, probe);
  // The first block is a small one: other bits mostly show beside it, at once, and that they are
  // the same only beside one of those that nearly all samples lie in.
  struct Forward {
    std::int64_t size;
    std::int64_t known;  ///< samples of blocks to compare with, at least
  };
  std::vector<Forward> forwards;
  if (!sizes.empty()) forwards.push_back({sizes.front(), 1});
  const std::int64_t second_block = runner.blocks()[1] + 1;
  for (const std::int64_t size : sizes) forwards.push_back({size, second_block});
  for (const auto& [size, least_known] : forwards) {
    if (!probe.same_bits) break;
    reference.extend(std::min(std::max(size, least_known), samples));
    const std::int64_t known = reference.known();
    // Not with the neighbours that a block has.
    const std::vector<std::int64_t> chosen =
        every(known % 3 != 0 ? 3 : 1, std::min(size, known), known);
    const PrefixRunner::Outputs outputs = runner.run(chosen, boundaries);
    for (std::size_t b = 0; b < boundaries.size(); ++b) {
      const ActivationLayout& layout = probe.layouts[b];
      if (outputs.hidden[b].sizes().slice(1) != at::IntArrayRef(layout.shape) ||
          outputs.hidden[b].size(0) !=
              (layout.by_token ? outputs.tokens : outputs.samples * layout.rows)) {
        probe.problem = "its rows depend on the batch";
        return probe;
      }
      compare(laid_out(outputs.hidden[b], layout),
              rows_of(reference.rows(b), layout, runner.split().offsets(), chosen), probe);
    }
  }
  return probe;
}

std::vector<double> prefix_seconds(const PrefixRunner& runner,
                                   std::span<const std::size_t> boundaries) {
  // A full one, where there is one.
  const std::size_t block = runner.blocks().size() > 2 ? 1 : 0;
  const PrefixRunner::Outputs outputs = runner.run_block(block, boundaries);
  std::vector<double> seconds = outputs.seconds;
  for (double& each : seconds) each /= static_cast<double>(outputs.samples);
  return seconds;
}

}  // namespace thaw
