#include "launch/run/training_samples.h"

#include <algorithm>
#include <cstdint>

#include "core/base/error.h"
#include "core/config/configuration.h"
#include "core/data/dataset.h"
#include "core/data/order/sample_selection.h"

namespace thaw {

void narrow_training_data(Dataset& dataset, const DataOptions& options,
                          const std::vector<std::string>& splits) {
  const SampleSelection selection{.fraction = options.fraction,
                                  .per_class = options.per_class,
                                  .seed = static_cast<std::uint64_t>(options.seed)};
  if (selection.everything() || std::find(splits.begin(), splits.end(), "train") == splits.end()) {
    return;
  }
  const Labels& labels = dataset.split("train").labels();
  if (labels.type() == LabelType::kClass) {
    dataset.narrow("train", select_samples(labels.classes(), selection));
    return;
  }
  if (selection.per_class > 0) {
    throw InputError("data.per-class: samples of this data have no class each, or several");
  }
  const std::vector<std::int64_t> alike(static_cast<std::size_t>(labels.size()), 0);
  dataset.narrow("train", select_samples(alike, selection));
}

}  // namespace thaw
