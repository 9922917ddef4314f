#include "core/step/prefix/prefix_probe.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/equal.h>

#include <algorithm>
#include <cstddef>
#include <optional>
#include <utility>
#include <vector>

#include "core/base/hash.h"
#include "core/base/stopwatch.h"
#include "core/data/split.h"
#include "core/step/prefix/prefix_runner.h"

namespace thaw {
namespace {

// Note [Probing holds one boundary at a time]
// Of a batch of large images, what lies behind all boundaries together is a multiple of what a step
// takes in which most is frozen. So a forward is left boundary by boundary, and what blocks give is
// kept as a fingerprint of each sample's rows. Where those differ, forward and blocks run once
// more, side by side, for how far they are apart.

using Rows = std::pair<std::int64_t, std::int64_t>;  ///< first, count

/// Of a sample, in a tensor whose first row is that of sample `begin`.
Rows rows_of(std::int64_t sample, std::int64_t begin, const ActivationLayout& layout,
             std::span<const std::int64_t> offsets) {
  if (!layout.by_token) return {(sample - begin) * layout.rows, layout.rows};
  const auto at = [&](std::int64_t index) { return offsets[static_cast<std::size_t>(index)]; };
  return {at(sample) - at(begin), at(sample + 1) - at(sample)};
}

/// Of those rows, as `laid_out` has them.
Fingerprint fingerprint_of(const at::Tensor& laid, Rows rows, const ActivationLayout& layout) {
  const auto* const bytes = static_cast<const std::byte*>(laid.const_data_ptr());
  return fingerprint(bytes + rows.first * layout.row_bytes(),
                     static_cast<std::size_t>(rows.second * layout.row_bytes()));
}

/// The first samples, as blocks have them: as many blocks as somebody asks for.
class Reference {
 public:
  Reference(const PrefixRunner& runner, std::span<const std::size_t> boundaries,
            const PrefixProbe& probe)
      : runner_(runner), boundaries_(boundaries), probe_(probe), of_(boundaries.size()) {
    for (std::size_t b = 0; b < boundaries_.size(); ++b) add(b, probe.first_block[b]);
    ++blocks_;
  }

  /// At least `samples` of them, of which there are so many.
  void extend(std::int64_t samples) {
    for (; known() < samples; ++blocks_) {
      PrefixRunner::Pass pass(runner_, runner_.samples_of(blocks_));
      for (std::size_t b = 0; b < boundaries_.size(); ++b) {
        add(b, laid_out(pass.to(boundaries_[b]), probe_.layouts[b]));
      }
    }
  }
  std::size_t blocks() const { return blocks_; }
  std::int64_t known() const { return runner_.blocks()[blocks_]; }
  const Fingerprint& of(std::size_t boundary, std::int64_t sample) const {
    return of_[boundary][static_cast<std::size_t>(sample)];
  }

 private:
  void add(std::size_t b, const at::Tensor& laid) {
    const ActivationLayout& layout = probe_.layouts[b];
    const std::int64_t begin = known();
    for (std::int64_t sample = begin; sample < runner_.blocks()[blocks_ + 1]; ++sample) {
      const Rows rows = rows_of(sample, begin, layout, runner_.split().offsets());
      of_[b].push_back(fingerprint_of(laid, rows, layout));
    }
  }

  const PrefixRunner& runner_;
  std::span<const std::size_t> boundaries_;
  const PrefixProbe& probe_;
  std::vector<std::vector<Fingerprint>> of_;  ///< of each boundary, of each sample's rows
  std::size_t blocks_ = 0;
};

/// Every `stride`th sample of `limit`, from the last one back, round and round: those of the blocks
/// that were run last, which are larger than the first, come first.
std::vector<std::int64_t> every(std::int64_t stride, std::int64_t count, std::int64_t limit) {
  std::vector<std::int64_t> samples;
  for (std::int64_t i = 0; i < count; ++i) samples.push_back(limit - 1 - i * stride % limit);
  return samples;
}

/// The first row of each of these samples, one after another in one forward.
std::vector<Rows> rows_in_turn(const std::vector<std::int64_t>& samples,
                               const ActivationLayout& layout,
                               std::span<const std::int64_t> offsets) {
  std::vector<Rows> all;
  std::int64_t first = 0;
  for (const std::int64_t sample : samples) {
    all.emplace_back(first, rows_of(sample, sample, layout, offsets).second);
    first += all.back().second;
  }
  return all;
}

/// How far values are from those expected.
struct Apart {
  bool same = true;  ///< which bits of zeros of either sign are too
  double most = 0, largest = 0;

  void add(const at::Tensor& found, const at::Tensor& expected) {
    if (expected.numel() == 0) return;
    largest = std::max(largest, expected.abs().max().item().toDouble());
    if (at::equal(found, expected)) return;
    same = false;
    const at::Tensor off = found.to(at::kDouble).sub_(expected.to(at::kDouble)).abs_();
    most = std::max(most, off.max().item().toDouble());
  }
  double relative() const { return most / std::max(largest, 1e-30); }
};

/// One forward of samples that lie in the first blocks.
struct Forward {
  const PrefixRunner& runner;
  std::span<const std::size_t> boundaries;
  std::vector<std::int64_t> samples;
};

/// Whether bits are the blocks' behind every boundary; or what is wrong, in the probe.
bool has_blocks_bits(const Forward& forward, const Reference& reference, PrefixProbe& probe) {
  PrefixRunner::Pass pass(forward.runner, forward.samples);
  bool same = true;
  for (std::size_t b = 0; b < forward.boundaries.size(); ++b) {
    const ActivationLayout& layout = probe.layouts[b];
    const at::Tensor hidden = pass.to(forward.boundaries[b]);
    if (hidden.sizes().slice(1) != at::IntArrayRef(layout.shape) ||
        hidden.size(0) != (layout.by_token ? pass.tokens() : pass.samples() * layout.rows)) {
      probe.problem = "its rows depend on the batch";
      return false;
    }
    const at::Tensor laid = laid_out(hidden, layout);
    const std::vector<Rows> rows =
        rows_in_turn(forward.samples, layout, forward.runner.split().offsets());
    for (std::size_t i = 0; i < rows.size() && same; ++i) {
      same = fingerprint_of(laid, rows[i], layout) == reference.of(b, forward.samples[i]);
    }
  }
  return same;
}

/// How far the forward is from the first `blocks` blocks, into the probe.
void measure_difference(const Forward& forward, std::size_t blocks, PrefixProbe& probe) {
  const PrefixRunner& runner = forward.runner;
  PrefixRunner::Pass pass(runner, forward.samples);
  std::vector<PrefixRunner::Pass> beside;
  for (std::size_t block = 0; block < blocks; ++block) {
    beside.emplace_back(runner, runner.samples_of(block));
  }
  for (std::size_t b = 0; b < forward.boundaries.size(); ++b) {
    const ActivationLayout& layout = probe.layouts[b];
    const at::Tensor found = laid_out(pass.to(forward.boundaries[b]), layout);
    const std::span<const std::int64_t> offsets = runner.split().offsets();
    const std::vector<Rows> rows = rows_in_turn(forward.samples, layout, offsets);
    Apart apart;
    for (std::size_t block = 0; block < blocks; ++block) {
      const at::Tensor expected = laid_out(beside[block].to(forward.boundaries[b]), layout);
      const std::int64_t begin = runner.blocks()[block], end = runner.blocks()[block + 1];
      for (std::size_t i = 0; i < rows.size(); ++i) {
        const std::int64_t sample = forward.samples[i];
        if (sample < begin || sample >= end) continue;
        const Rows own = rows_of(sample, begin, layout, offsets);
        apart.add(found.narrow(0, rows[i].first, rows[i].second),
                  expected.narrow(0, own.first, own.second));
      }
    }
    if (apart.same) continue;
    probe.same_bits = false;
    probe.difference = std::max(probe.difference, apart.relative());
  }
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
  struct Size {
    std::int64_t size;
    std::int64_t known;  ///< samples of blocks to compare with, at least
  };
  std::vector<Size> forwards;
  if (!sizes.empty()) forwards.push_back({sizes.front(), 1});
  const std::int64_t second_block = runner.blocks()[1] + 1;
  for (const std::int64_t size : sizes) forwards.push_back({size, second_block});
  for (const auto& [size, least_known] : forwards) {
    if (!probe.same_bits) break;
    reference.extend(std::min(std::max(size, least_known), samples));
    const std::int64_t known = reference.known();
    // Not with the neighbours that a block has.
    const Forward forward{runner, boundaries,
                          every(known % 3 != 0 ? 3 : 1, std::min(size, known), known)};
    if (has_blocks_bits(forward, reference, probe)) continue;
    if (!probe.problem.empty()) return probe;
    measure_difference(forward, reference.blocks(), probe);
  }
  return probe;
}

std::vector<double> prefix_seconds(const PrefixRunner& runner,
                                   std::span<const std::size_t> boundaries) {
  // A full one, where there is one.
  const std::size_t block = runner.blocks().size() > 2 ? 1 : 0;
  PrefixRunner::Pass pass(runner, runner.samples_of(block));
  const Stopwatch watch;
  std::vector<double> seconds;
  for (const std::size_t boundary : boundaries) {
    pass.to(boundary);
    seconds.push_back(watch.seconds() / static_cast<double>(pass.samples()));
  }
  return seconds;
}

}  // namespace thaw
