#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "core/data/memory_dataset.h"
#include "tests/core/models/bert_fixture.h"

namespace thaw {

/// A BERT of few layers, or a ResNet-14, that trains in milliseconds; equal on all ranks.
inline std::shared_ptr<Model> small_network(bool text, std::int64_t layers, std::int64_t classes,
                                            at::ScalarType type = at::kFloat) {
  std::shared_ptr<Model> model;
  if (text) {
    const EncoderConfig config{.vocabulary = 50,
                               .hidden = 32,
                               .layers = layers,
                               .heads = 4,
                               .intermediate = 64,
                               .longest = 40};
    model = std::make_shared<Bert>(config, Pooling::kMean, classes);
    fill_text_by_formula(*model);
  } else {
    model = empty_resnet("resnet-cifar", 14, classes);
    fill_by_formula(*model);
  }
  model->to(type);
  model->weights_changed();
  return model;
}

/// Texts of 3 to 14 tokens, or images of 16 x 16, for a small_network.
inline MemorySplit small_split(bool text, const std::string& name, std::int64_t samples,
                               std::int64_t classes) {
  if (!text) {
    const Batch batch = fixture_batch(samples, 16, classes, 0, at::kFloat);
    return {name, batch.inputs.contiguous(), batch.labels};
  }
  std::vector<std::vector<std::int64_t>> tokens;
  for (std::int64_t n = 0; n < samples; ++n) {
    tokens.emplace_back();
    for (std::int64_t t = 0; t < 3 + 5 * n % 12; ++t)
      tokens.back().push_back(1 + (11 * t + n) % 49);
  }
  const Batch batch = packed_batch(tokens, classes);
  return {name, batch.inputs.to(at::kInt), batch.labels, batch.offsets};
}

}  // namespace thaw
