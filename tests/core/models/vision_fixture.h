#pragma once

#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string>
#include <vector>

#include "core/config/configuration.h"
#include "core/models/registry.h"
#include "tests/core/models/resnet_fixture.h"
#include "tests/support/paths.h"

// Access to the results of fixtures/make_vision_fixtures.py, and networks of its cases.

namespace thaw {

inline const nlohmann::json& vision_cases() {
  static const nlohmann::json cases = [] {
    std::ifstream file(source_path("tests/core/models/fixtures/vision_expected.json"));
    return nlohmann::json::parse(file).at("cases");
  }();
  return cases;
}

inline const nlohmann::json& vision_case(const std::string& name) {
  for (const nlohmann::json& each : vision_cases()) {
    if (each.at("name") == name) return each;
  }
  throw std::out_of_range(name);
}

/// A file's path that no other process uses.
inline std::string temporary_path(const std::string& name) {
  return (std::filesystem::temp_directory_path() /
          ("thaw_vision_" + std::to_string(::getpid()) + "_" + name))
      .string();
}

/// [model] of a case. Its config.json lies where `config` says; the caller removes it.
inline ModelOptions vision_options(const nlohmann::json& expected) {
  ModelOptions options;
  options.architecture = expected.at("family");
  options.weights = "set later";
  if (expected.contains("config")) {
    static std::atomic<int> made = 0;
    options.config =
        temporary_path(fmt::format("{}-{}.json", expected.at("name").get<std::string>(), ++made));
    std::ofstream(options.config) << expected.at("config").dump();
  } else {  // as the fixtures' networks are made
    options.dropout = options.head_dropout = expected.value("dropout", 0.0);
  }
  return options;
}

/// A case's network with the initial values of seed 0, of which the encoder's are those of a
/// network whose weights are to be set.
inline std::shared_ptr<Model> vision_model(const nlohmann::json& expected) {
  const ModelOptions options = vision_options(expected);
  const InputFacts facts = {.kind = InputFacts::Kind::kImages,
                            .channels = expected.at("channels"),
                            .height = expected.at("size")[0],
                            .width = expected.at("size")[1]};
  auto model = make_model(options, expected.at("classes"), facts, /*seed=*/0);
  if (!options.config.empty()) std::filesystem::remove(options.config);
  return model;
}

/// The same with the formula's weights, in `dtype`.
inline std::shared_ptr<Model> filled_vision_model(const nlohmann::json& expected,
                                                  at::ScalarType dtype) {
  auto model = vision_model(expected);
  model->to(dtype);
  fill_by_formula(*model);
  model->weights_changed();
  model->train(expected.at("training"));
  return model;
}

inline Batch vision_batch(const nlohmann::json& expected, at::ScalarType dtype) {
  const std::int64_t samples = expected.at("samples"), classes = expected.at("classes");
  Batch batch = fixture_batch(samples, /*size=*/1, classes, 0, dtype);
  const std::vector<std::int64_t> size = expected.at("size");
  const int draw = expected.at("draw");
  batch.inputs = fixture_uniform("images", static_cast<std::uint8_t>(100 + draw),
                                 {samples, expected.at("channels"), size[0], size[1]}, -2, 2)
                     .to(dtype)
                     .contiguous(at::MemoryFormat::ChannelsLast);
  return batch;
}

}  // namespace thaw
