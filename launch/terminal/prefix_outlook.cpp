#include "launch/terminal/prefix_outlook.h"

#include <fmt/format.h>

#include <optional>

#include "core/base/system.h"
#include "core/data/activations/activation_layout.h"
#include "core/data/dataset.h"
#include "core/models/model.h"
#include "core/schedule/stage_options.h"
#include "core/step/parameter_table.h"
#include "core/step/prefix/prefix_runner.h"
#include "core/train/prefix/prefix_rules.h"
#include "launch/run/run_setup.h"

namespace thaw {
namespace {

/// "117 MiB (tokens x 384 Float)", or why there is nothing to be kept.
std::string size_text(const RunSetup& setup, std::size_t boundary) {
  setup.model->eval();
  const PrefixRunner runner(*setup.model, *setup.dataset, "train");
  const PrefixRunner::Outputs outputs = runner.run({0}, {&boundary, 1});
  const std::optional<ActivationLayout> layout =
      layout_of(outputs.hidden.front(), outputs.samples, outputs.tokens);
  if (!layout) return "not used: the model does not run group by group";
  const Split& split = runner.split();
  const std::int64_t bytes =
      row_offsets(*layout, split.size(), split.offsets()).back() * layout->row_bytes();
  return fmt::format("{} ({})", memory_text(bytes), layout->describe());
}

}  // namespace

std::string prefix_outlook(const RunSetup& setup, const Schedule& schedule) {
  const Configuration& configuration = setup.configuration();
  const TrainOptions& train = configuration.train;
  if (train.prefix_cache == PrefixCacheUse::kOff) return {};
  const ParameterTable parameters(*setup.model, train.decay_norms_and_biases);
  const std::string samples = changing_samples(configuration.data);
  std::string text;
  for (const Stage& stage : schedule.stages) {
    const std::size_t cut = lowest_cut(stage, parameters, train);
    if (cut == 0) continue;
    const std::string changes =
        samples.empty() ? changing_prefix(resolve(train, stage), *setup.model, parameters, cut)
                        : samples;
    text += fmt::format("  {}: {}\n", stage.name,
                        !changes.empty()
                            ? "not used: " + changes
                            : fmt::format("outputs of {}, {}", setup.model->groups()[cut - 1].name,
                                          size_text(setup, cut)));
  }
  if (text.empty()) return {};
  return fmt::format("prefix cache ({}{}): of the training split\n{}", name_of(train.prefix_cache),
                     train.prefix_cache == PrefixCacheUse::kAuto
                         ? ", where it pays and changes no bit, which a run finds out"
                         : "",
                     text);
}

}  // namespace thaw
