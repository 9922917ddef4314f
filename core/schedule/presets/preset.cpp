#include "core/schedule/presets/preset.h"

#include "core/schedule/policies/policy.h"
#include "core/schedule/presets/preset_writer.h"

namespace thaw {

#define THAW_PRESET(name) Preset name##_preset();
#include "core/schedule/presets/presets.inc"
#undef THAW_PRESET

namespace {

const std::vector<Preset>& presets() {
  static const std::vector<Preset> all = [] {
    std::vector<Preset> list = {
#define THAW_PRESET(name) name##_preset(),
#include "core/schedule/presets/presets.inc"
#undef THAW_PRESET
    };
    // One stage with the policy of that name.
    for (const PolicyKind& policy : policy_kinds()) {
      list.push_back({policy.name, [](PresetWriter& writer) {
                        return writer.stages({{writer.options().preset, writer.parts().all()}});
                      }});
    }
    return list;
  }();
  return all;
}

}  // namespace

const std::vector<std::string>& preset_names() {
  static const std::vector<std::string> names = [] {
    std::vector<std::string> all;
    for (const Preset& preset : presets()) all.emplace_back(preset.name);
    return all;
  }();
  return names;
}

std::vector<Setting> write_out_preset(const ConfigurationDocument& document,
                                      const std::vector<std::string>& model_groups,
                                      std::int64_t train_samples, Problems& problems) {
  PresetWriter writer(document, model_groups, train_samples, problems);
  if (document.schedule.learning_rate == 0) {
    writer.report("schedule.learning-rate", "a preset needs a rate above 0");
  }
  for (const Preset& preset : presets()) {
    if (preset.name == document.schedule.preset) return preset.write(writer);
  }
  return {};
}

}  // namespace thaw
