// `chain-thaw`: `head` alone; then `embeddings` alone and the layers alone, from the input to the
// output; then `all` (Felbo and others, 2017, section 3.3: each until it converges, which `plateau`
// asks for).
#include "core/schedule/presets/preset.h"
#include "core/schedule/presets/preset_writer.h"

namespace thaw {
namespace {

std::vector<Setting> chain_thaw_stages(PresetWriter& writer) {
  const ModelParts& parts = writer.parts();
  std::vector<PresetStage> stages = {{parts.name(parts.head()), {parts.head()}}};
  if (parts.trains_input()) stages.push_back({parts.name(0), {0}});
  for (const auto& layers : parts.layers(/*from_the_top=*/false)) {
    stages.push_back({parts.name(layers.back()), {layers.begin(), layers.end()}});
  }
  stages.push_back({"all", parts.all()});
  return writer.stages(stages);
}

}  // namespace

Preset chain_thaw_preset() { return {"chain-thaw", chain_thaw_stages}; }

}  // namespace thaw
