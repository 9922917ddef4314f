#pragma once

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "core/base/error.h"
#include "core/schedule/resolve_schedule.h"

namespace thaw {

/// MiniLM's groups.
inline const std::vector<std::string> kBert = {"embeddings", "encoder.0", "encoder.1", "encoder.2",
                                               "encoder.3",  "encoder.4", "encoder.5", "head"};
inline const std::vector<std::string> kResNet = {"stem",   "layer1", "layer2",
                                                 "layer3", "layer4", "head"};

/// A complete file whose part about the schedule, `text`, begins on line 3. Batches of 10.
inline Schedule schedule_of(const std::string& text, const std::vector<std::string>& groups = kBert,
                            const std::vector<Override>& flags = {}, std::int64_t samples = 100) {
  return resolve_schedule(parse_configuration("model.architecture = \"bert\"\n"
                                              "data = { file = \"a.h5\", batch = 10 }\n" +
                                                  text,
                                              "a.toml", flags),
                          groups, samples);
}

/// The message of the InputError that `schedule_of` throws.
inline std::string message_of_schedule(const std::string& text,
                                       const std::vector<Override>& flags = {},
                                       std::int64_t samples = 100) {
  try {
    schedule_of(text, kBert, flags, samples);
  } catch (const InputError& error) {
    return error.what();
  }
  return "no error";
}

}  // namespace thaw
