// `top-down`: `head`; then from the output to the input a stage for the next layers, named after
// the lowest of them; then `embeddings`; what was thawed stays active (Howard and Ruder, ULMFiT,
// 2018, section 3.3).
#include "core/schedule/presets/preset.h"
#include "core/schedule/presets/preset_writer.h"

namespace thaw {
namespace {

std::vector<Setting> top_down_stages(PresetWriter& writer) {
  const ModelParts& parts = writer.parts();
  Thawing thawing;
  thawing.join(parts.name(parts.head()), {parts.head()});
  for (const auto& layers : parts.layers(/*from_the_top=*/true)) {
    thawing.join(parts.name(layers.back()), layers);
  }
  const bool first = parts.input_is(InputTurn::kFirst);
  if (parts.trains_input() && !first) thawing.join(parts.name(0), {0});
  if (first) thawing.join_first(0);
  return writer.stages(thawing.take());
}

}  // namespace

Preset top_down_preset() { return {"top-down", top_down_stages}; }

}  // namespace thaw
