// `bottom-up`: `embeddings`; then from the input to the output a stage for the next layers, named
// after the highest of them; what was thawed stays active. The head is active from the first stage,
// or has the last for itself.
#include "core/schedule/presets/preset.h"
#include "core/schedule/presets/preset_writer.h"

namespace thaw {
namespace {

std::vector<Setting> bottom_up_stages(PresetWriter& writer) {
  const ModelParts& parts = writer.parts();
  const bool head_last = writer.options().head == HeadTurn::kLast;
  Thawing thawing;
  const bool last = parts.input_is(InputTurn::kLast);
  const bool first = parts.trains_input() && !last;
  if (first) thawing.join(parts.name(0), {0});
  for (const auto& layers : parts.layers(/*from_the_top=*/false)) {
    thawing.join(parts.name(layers.back()), layers);
  }
  if (head_last || thawing.empty()) thawing.join(parts.name(parts.head()), {parts.head()});
  if (last) thawing.join(parts.name(0), {0});
  if (!head_last) thawing.join_first(parts.head());
  if (first) thawing.join_first(0);
  return writer.stages(thawing.take());
}

}  // namespace

Preset bottom_up_preset() { return {"bottom-up", bottom_up_stages}; }

}  // namespace thaw
