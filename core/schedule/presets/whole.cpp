// The presets of one or two stages:
// - full: one stage, `full`, with all groups.
// - head-only: one stage, `head`.
// - head-then-all: `head`, then `all` (Kumar and others, LP-FT, 2022), the latter with
//   `final-learning-rate` if given.
#include "core/schedule/presets/preset.h"
#include "core/schedule/presets/preset_writer.h"

namespace thaw {
namespace {

PresetStage head_stage(const ModelParts& parts) {
  return {parts.name(parts.head()), {parts.head()}};
}

}  // namespace

Preset full_preset() {
  return {"full", [](PresetWriter& writer) {
            return writer.stages({{"full", writer.parts().all()}});
          }};
}

Preset head_only_preset() {
  return {"head-only",
          [](PresetWriter& writer) { return writer.stages({head_stage(writer.parts())}); }};
}

Preset head_then_all_preset() {
  return {"head-then-all", [](PresetWriter& writer) {
            return writer.stages({head_stage(writer.parts()), {"all", writer.parts().all()}});
          }};
}

}  // namespace thaw
