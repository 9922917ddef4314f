#include <ATen/ops/equal.h>
#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "core/models/groups.h"
#include "tests/core/models/decoder/decoder_fixture.h"

// Note [Weights held once], of decoders.

namespace thaw {
namespace {

/// Where a parameter's values lie.
const char* place_of(const DecoderModel& model, const std::string& name) {
  return static_cast<const char*>(model.named_parameters()[name].const_data_ptr());
}

TEST(Decoders, StackedWeightsOfALlamaAreTheParametersThemselves) {
  const auto model = decoder_by(decoder_case("llama").at("config"));
  const auto expect_neighbours = [&] {
    const std::string layer = "model.layers.1.";
    for (const auto& [first, second] :
         std::vector<std::pair<std::string, std::string>>{{"self_attn.q_proj", "self_attn.k_proj"},
                                                          {"self_attn.k_proj", "self_attn.v_proj"},
                                                          {"mlp.gate_proj", "mlp.up_proj"}}) {
      const std::string name = layer + first + ".weight";
      const auto bytes = static_cast<std::ptrdiff_t>(model->named_parameters()[name].nbytes());
      EXPECT_EQ(place_of(*model, layer + second + ".weight") - place_of(*model, name), bytes)
          << second;
    }
  };
  expect_neighbours();
  fill_text_by_formula(*model);
  for (const GroupTensors& group : resolve_groups(*model)) {
    for (const NamedTensor& parameter : group.parameters) {
      at::Tensor(parameter.tensor).requires_grad_(group.name == "layers.1");
    }
  }
  model->weights_changed();
  model->forward(decoder_batch(decoder_case("llama"))).sum().backward();
  expect_neighbours();
  // Another type takes each parameter elsewhere: the next stage lays them together again.
  const at::Tensor before = model->named_parameters()["model.layers.1.mlp.up_proj.weight"].clone();
  model->to(at::kDouble);
  model->weights_changed();
  expect_neighbours();
  EXPECT_TRUE(at::equal(model->named_parameters()["model.layers.1.mlp.up_proj.weight"],
                        before.to(at::kDouble)));
}

}  // namespace
}  // namespace thaw
