// The part of PrefixUse that looks ahead: what decisions will depend on, before a run.
#include <algorithm>

#include "core/config/configuration.h"
#include "core/data/dataset.h"
#include "core/parallel/agreement.h"
#include "core/train/prefix/prefix_use_parts.h"
#include "core/train/trainer.h"

namespace thaw {

PrefixForesight PrefixUse::foresee(const ScheduleRun& schedule, std::int64_t cursor) {
  PrefixForesight ahead;
  const std::vector<PrefixStage> stages = stages_ahead(schedule, cursor);
  if (stages.empty()) {
    ahead.why_not = "nothing stays frozen before what is trained, or what does changes";
    return ahead;
  }
  const Wanted wanted = of_training(stages);
  const double batch = static_cast<double>(parts_.data.batch);
  const auto size = static_cast<double>(parts_.dataset.split(kPrefixTraining).size());
  ahead.least_samples = on() ? 0 : std::max(kFewestPrefixSteps * batch, kFewestPrefixPasses * size);
  if (samples_drawn(wanted.samples) < ahead.least_samples) {
    ahead.why_not = "too few samples are to come for it to pay";
    return ahead;
  }
  try {
    if (!wanted.changes.empty()) throw PrefixNotUsed(wanted.changes);
    if (!files_) files_ = std::make_unique<PrefixFiles>(parts_.communicator, monitor_);
    const auto reading = agreed(parts_.communicator, [&] {
      return std::make_unique<Reading>(parts_.model, parts_.dataset, wanted.split);
    });
    Found found;
    probe(wanted, reading->runner, found);
    look_for_files(wanted, reading->runner, found);
    measure(wanted, reading->runner, found);
    ahead.costs = found.costs;
    ahead.groups = found.boundaries;
  } catch (const PrefixNotUsed& why) {
    ahead.why_not = why.what();
  }
  return ahead;
}

}  // namespace thaw
