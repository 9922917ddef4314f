#include "core/data/order/sample_selection.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <stdexcept>
#include <utility>

#include "core/data/hdf5/byte_store.h"
#include "core/data/order/keyed_hash.h"
#include "core/data/order/keyed_permutation.h"

namespace thaw {
namespace {

/// The chosen samples' elements laid end to end.
class NarrowedStore final : public ByteStore {
 public:
  NarrowedStore(std::shared_ptr<const Split> whole, std::vector<std::int64_t> samples)
      : whole_(std::move(whole)), samples_(std::move(samples)), begins_{0} {
    begins_.reserve(samples_.size() + 1);
    for (const std::int64_t sample : samples_) {
      begins_.push_back(begins_.back() +
                        whole_->elements(sample) * whole_->format().element_bytes());
    }
  }

  /// A Split reads whole samples.
  void read(std::int64_t offset, std::int64_t size, std::byte* memory) const override {
    const auto first = index_of(offset);
    const auto last = index_of(offset + size);
    whole_->read(std::span(samples_).subspan(first, last - first), memory);
  }

  std::string describe() const override {
    return fmt::format("{} of {} samples", samples_.size(), whole_->size());
  }

 private:
  std::size_t index_of(std::int64_t byte) const {
    const auto found = std::lower_bound(begins_.begin(), begins_.end(), byte);
    if (found == begins_.end() || *found != byte) {
      throw std::logic_error("NarrowedStore: a part of a sample");
    }
    return static_cast<std::size_t>(found - begins_.begin());
  }

  std::shared_ptr<const Split> whole_;
  std::vector<std::int64_t> samples_;
  std::vector<std::int64_t> begins_;  ///< first byte of each sample, and the end
};

std::int64_t wanted(std::int64_t count, const SampleSelection& selection) {
  const auto share = std::llround(selection.fraction * static_cast<double>(count));
  const std::int64_t most = selection.per_class > 0 ? selection.per_class : count;
  return std::clamp<std::int64_t>(std::min<std::int64_t>(share, most), 1, count);
}

}  // namespace

std::vector<std::int64_t> select_samples(std::span<const std::int64_t> labels,
                                         const SampleSelection& selection) {
  std::map<std::int64_t, std::vector<std::int64_t>> classes;
  for (std::size_t i = 0; i < labels.size(); ++i) {
    classes[labels[i]].push_back(static_cast<std::int64_t>(i));
  }
  std::vector<std::int64_t> chosen;
  for (const auto& [label, samples] : classes) {
    const KeyedPermutation order(samples.size(), keyed_hash(keyed_hash(1, selection.seed),
                                                            static_cast<std::uint64_t>(label)));
    const auto count = wanted(static_cast<std::int64_t>(samples.size()), selection);
    for (std::int64_t i = 0; i < count; ++i) {
      chosen.push_back(samples[order(static_cast<std::uint64_t>(i))]);
    }
  }
  std::sort(chosen.begin(), chosen.end());
  return chosen;
}

std::unique_ptr<Split> narrow_split(std::unique_ptr<Split> split,
                                    std::vector<std::int64_t> samples) {
  const std::shared_ptr<const Split> whole = std::move(split);
  Labels labels = whole->labels().of(samples);
  std::vector<std::int64_t> offsets;
  std::vector<std::int8_t> types;
  std::vector<std::int32_t> bytes;
  if (!whole->offsets().empty()) offsets.push_back(0);
  for (const std::int64_t sample : samples) {
    if (!offsets.empty()) offsets.push_back(offsets.back() + whole->elements(sample));
    if (whole->format().counts_bytes) {
      bytes.push_back(whole->bytes()[static_cast<std::size_t>(sample)]);
    }
    if (whole->format().pairs) {
      const auto of_sample = whole->types().subspan(
          static_cast<std::size_t>(whole->offsets()[static_cast<std::size_t>(sample)]),
          static_cast<std::size_t>(whole->elements(sample)));
      types.insert(types.end(), of_sample.begin(), of_sample.end());
    }
  }
  const std::string name = whole->name();
  const SampleFormat format = whole->format();
  Split::Part part;
  part.name = "chosen from " + name;
  part.samples = static_cast<std::int64_t>(samples.size());
  part.store = std::make_shared<NarrowedStore>(whole, std::move(samples));
  part.layout = part.store->describe();
  std::vector<Split::Part> parts;
  parts.push_back(std::move(part));
  auto narrowed = std::make_unique<Split>(name, format, std::move(parts), std::move(labels),
                                          std::move(offsets), std::move(types), std::move(bytes));
  narrowed->chosen_from(whole);
  return narrowed;
}

}  // namespace thaw
