// Frozen weights that leave a GPU, where there is none: the CPU stands for it, so that weights
// change their memory and not their device. On one that computes nothing: tests/null_gpu.

#include "core/step/sharing/host_weights.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/equal.h>
#include <c10/util/Exception.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/models/model.h"
#include "core/parallel/communicator.h"
#include "core/step/parameter_table.h"
#include "core/step/sharing/frozen_weights.h"
#include "core/step/sharing/shared_weights.h"
#include "core/step/trainable.h"
#include "dist/communicator/in_process/in_process.h"
#include "tests/core/models/bert_fixture.h"
#include "tests/support/forwarding_communicator.h"
#include "tests/support/limited_memory.h"

namespace thaw {
namespace {

using testing::AllOf;
using testing::HasSubstr;

/// A BERT of two layers that computes in bfloat16; all of it is frozen.
struct Network {
  Network() {
    model = std::make_shared<Bert>(EncoderConfig{.vocabulary = 50,
                                                 .hidden = 64,
                                                 .layers = 2,
                                                 .heads = 4,
                                                 .intermediate = 128,
                                                 .longest = 40},
                                   Pooling::kMean, /*classes=*/3);
    fill_text_by_formula(*model);
    model->weights_changed();
    model->set_precision(at::kBFloat16);
    parameters = std::make_unique<ParameterTable>(*model, /*decay_all=*/false);
    train({});
  }

  void train(const std::set<std::string>& active) const {
    for (std::size_t i = 0; i < parameters->size(); ++i) {
      set_trainable(parameters->tensors()[i], active.contains(parameters->facts()[i].name));
    }
  }
  at::Tensor tensor(const std::string& name) const { return model->named_parameters()[name]; }
  const void* place(const std::string& name) const { return tensor(name).const_data_ptr(); }

  /// Names of what lies in a layer; all for "".
  std::set<std::string> names(const std::string& part) const {
    std::set<std::string> names;
    for (const ParameterFacts& facts : parameters->facts()) {
      if (facts.name.find(part) != std::string::npos) names.insert(facts.name);
    }
    return names;
  }

  /// What products multiply by; the first are of the first layer's query, key and value.
  at::Tensor rounded(std::size_t product = 0) const {
    const at::NoGradGuard no_grad;
    const LayerWeights layer = model->product_weights().at(product);
    return layer.prepared.get(layer.weights, at::kBFloat16, at::kCPU);
  }

  std::shared_ptr<Model> model;
  std::unique_ptr<ParameterTable> parameters;
};

const std::string kQuery = "encoder.layer.0.attention.self.query.weight";
const std::string kKey = "encoder.layer.0.attention.self.key.weight";

/// Of query, key, value, output, and two between 64 and 128 columns.
constexpr std::int64_t kSquare = 64 * 64, kLayerElements = 4 * kSquare + 2 * 64 * 128;

/// As a transition does it.
template <class Weights>
void transition(const Network& network, Weights& weights, const std::set<std::string>& active) {
  weights.thaw(active);
  network.train(active);
  network.model->weights_changed();
  weights.freeze(active);
}

void transition(const Network& network, HostWeights& weights, const std::set<std::string>& active) {
  transition<HostWeights>(network, weights, active);
  weights.settle();
}

TEST(HostWeights, AreThoseThatProductsAloneRead) {
  const Network network;
  std::map<std::string, const void*> before;
  for (const std::string& name : network.names("")) before[name] = network.place(name);
  HostWeights weights(*network.model, *network.parameters, at::kCPU);
  EXPECT_EQ(weights.bytes_saved({}), 2 * 2 * kLayerElements);
  transition(network, weights, {});
  EXPECT_EQ(weights.bytes(), 4 * 2 * kLayerElements);
  for (const auto& [name, place] : before) {
    const bool of_products = name.starts_with("encoder.") && network.tensor(name).dim() == 2;
    EXPECT_EQ(network.place(name) != place, of_products) << name;
  }
}

TEST(HostWeights, ComeBackAsTheyWere) {
  const Network network, untouched;
  HostWeights weights(*network.model, *network.parameters, at::kCPU);
  const std::set<std::string> first = network.names("layer.0.");
  for (const std::set<std::string>& active : {std::set<std::string>(), first, network.names("")}) {
    transition(network, weights, active);
    for (const std::string& name : network.names("")) {
      EXPECT_TRUE(at::equal(network.tensor(name), untouched.tensor(name))) << name;
    }
    EXPECT_EQ(static_cast<const char*>(network.place(kKey)) -
                  static_cast<const char*>(network.place(kQuery)),
              4 * kSquare);
  }
  EXPECT_EQ(weights.bytes(), 0);
}

TEST(HostWeights, LeaveAsLayers) {
  const Network network;
  HostWeights weights(*network.model, *network.parameters, at::kCPU);
  const void* const before = network.place(kKey);
  transition(network, weights, {kQuery});  // a group may be any part of a layer
  EXPECT_EQ(weights.bytes(), 4 * (2 * kLayerElements - 3 * kSquare));
  EXPECT_EQ(network.place(kKey), before);
}

TEST(HostWeights, AreConvertedWhenTheyFreezeAndNotAgain) {
  const Network network;
  HostWeights weights(*network.model, *network.parameters, at::kCPU);
  transition(network, weights, {});
  const at::Tensor kept = network.rounded();
  const std::set<std::string> second = network.names("layer.1.");
  transition(network, weights, second);
  transition(network, weights, {});
  EXPECT_EQ(network.rounded().const_data_ptr(), kept.const_data_ptr());
}

TEST(HostWeights, AWriteIsNoticed) {
  const Network network;
  HostWeights weights(*network.model, *network.parameters, at::kCPU);
  const auto first = [&] { return network.rounded()[0][0].item().toDouble(); };
  const auto write = [&](double value) {
    const at::NoGradGuard no_grad;
    network.tensor(kQuery).fill_(value);
  };
  transition(network, weights, {});
  write(3);
  EXPECT_EQ(first(), 3);
  weights.thaw({});
  write(5);  // within a transition, after what is kept was put by
  network.model->weights_changed();
  weights.freeze({});
  weights.settle();
  EXPECT_EQ(first(), 5);
}

TEST(HostWeights, CopiesStandForWhatWillThaw) {
  const Network network;
  HostWeights weights(*network.model, *network.parameters, at::kCPU);
  transition(network, weights, {});
  const std::set<std::string> first = network.names("layer.0.");
  const void* const away = network.place(kQuery);
  ASSERT_TRUE(weights.prepare(first));
  const at::Tensor stand_in = weights.as_thawed(network.tensor(kQuery));
  EXPECT_EQ(network.place(kQuery), away) << "it moves at the transition";
  EXPECT_TRUE(at::equal(stand_in, network.tensor(kQuery)));
  for (const char* other :
       {"encoder.layer.1.attention.self.query.weight", "embeddings.word_embeddings.weight"}) {
    EXPECT_TRUE(weights.as_thawed(network.tensor(other)).is_same(network.tensor(other)));
  }
  transition(network, weights, first);
  EXPECT_EQ(network.place(kQuery), stand_in.const_data_ptr());
}

TEST(HostWeights, ACopyThatIsLateIsNotTaken) {
  const Network network;
  HostWeights weights(*network.model, *network.parameters, at::kCPU);
  transition(network, weights, {});
  const std::set<std::string> first = network.names("layer.0.");
  ASSERT_TRUE(weights.prepare(first));
  {
    const at::NoGradGuard no_grad;
    network.tensor(kQuery).fill_(7);
  }
  transition(network, weights, first);
  EXPECT_EQ(network.tensor(kQuery)[0][0].item().toDouble(), 7);
}

TEST(HostWeights, WaitForTheirTransitionWhereCopiesHaveNoRoom) {
  LimitedMemory memory;
  const Network network, untouched;
  HostWeights weights(*network.model, *network.parameters, at::kCPU);
  transition(network, weights, {});
  const std::set<std::string> first = network.names("layer.0.");
  memory.left = 4 * 3 * kSquare;  // query, key and value
  EXPECT_FALSE(weights.prepare(first));
  EXPECT_EQ(memory.left, 0U);
  memory.left = LimitedMemory::kUnlimited;
  EXPECT_TRUE(weights.as_thawed(network.tensor(kQuery)).is_same(network.tensor(kQuery)));
  transition(network, weights, first);
  EXPECT_EQ(weights.bytes(), 4 * kLayerElements);
  EXPECT_TRUE(at::equal(network.tensor(kQuery), untouched.tensor(kQuery)));
}

TEST(HostWeights, StayWhereTheGpuHasNoRoomForThem) {
  LimitedMemory memory;
  const Network network, untouched;
  auto weights = std::make_unique<HostWeights>(*network.model, *network.parameters, at::kCPU);
  transition(network, *weights, {});
  const std::string lower = "encoder.layer.0.output.dense.weight";
  const void* const key = network.place(kKey);
  const void* const away = network.place(lower);
  memory.left = 4 * 3 * kSquare;
  testing::internal::CaptureStderr();
  weights.reset();
  EXPECT_THAT(
      testing::internal::GetCapturedStderr(),
      AllOf(HasSubstr("note: frozen weights stay in host memory"), HasSubstr("out of memory")));
  memory.left = LimitedMemory::kUnlimited;
  EXPECT_NE(network.place(kKey), key) << "there was room for these";
  EXPECT_EQ(network.place(lower), away);
  for (const std::string& name : network.names("")) {
    EXPECT_TRUE(at::equal(network.tensor(name), untouched.tensor(name))) << name;
  }
  for (std::size_t i = 0; i < network.model->product_weights().size(); ++i) {
    EXPECT_TRUE(at::equal(network.rounded(i), untouched.rounded(i))) << "product " << i;
  }
}

TEST(HostWeights, StayWhereTheRunHasFailed) {
  const Network network, untouched;
  const auto away_after = [&](bool failed) {
    auto weights = std::make_unique<HostWeights>(*network.model, *network.parameters, at::kCPU);
    transition(network, *weights, {});
    const void* const away = network.place(kQuery);
    if (failed) weights->leave_there();
    weights.reset();  // later than whoever has caught the error
    return network.place(kQuery) == away;
  };
  EXPECT_FALSE(away_after(false));
  EXPECT_TRUE(away_after(true));
  for (const std::string& name : network.names("")) {
    EXPECT_TRUE(at::equal(network.tensor(name), untouched.tensor(name))) << name;
  }
}

TEST(HostWeights, GoInPieces) {
  const Network network, untouched;
  HostWeights weights(*network.model, *network.parameters, at::kCPU);
  weights.thaw({});
  EXPECT_TRUE(weights.freeze({}, 1)) << "the others of both layers";
  EXPECT_EQ(weights.bytes(), 4 * 3 * kSquare) << "query, key and value of one";
  EXPECT_TRUE(weights.freeze({}, 4 * (kLayerElements - 3 * kSquare)));
  EXPECT_EQ(weights.bytes(), 4 * kLayerElements);
  EXPECT_FALSE(weights.freeze({}, 4 * kLayerElements));
  EXPECT_EQ(weights.bytes(), 4 * 2 * kLayerElements);
  EXPECT_FALSE(weights.freeze({}, 1));
  weights.settle();
  for (const std::string& name : network.names("")) {
    EXPECT_TRUE(at::equal(network.tensor(name), untouched.tensor(name))) << name;
  }
}

TEST(HostWeights, OfWhatIsTrainedAreAnError) {
  const Network network;
  HostWeights weights(*network.model, *network.parameters, at::kCPU);
  network.train({kQuery});
  EXPECT_THROW(weights.freeze({}), c10::Error);
}

TEST(HostWeights, AreOfRunsInBfloat16OnAGpu) {
  const Network network;
  EXPECT_EQ(host_weights_of(*network.model, *network.parameters), nullptr) << "it is on the CPU";
}

TEST(FrozenWeights, AreInHostMemoryOnceAHost) {
  run_ranks(2, [](Communicator& communicator) {
    const Network network, untouched;
    FrozenWeights weights(
        std::make_unique<HostWeights>(*network.model, *network.parameters, at::kCPU),
        std::make_unique<SharedWeights>(*network.parameters, communicator));
    transition(network, weights, {});
    const std::int64_t shared = weights.shared_bytes();
    EXPECT_GT(shared, 0) << "query, key and value lie in one storage, and that is large enough";
    const void* const place = network.place(kQuery);
    const at::Tensor kept = network.rounded();
    transition(network, weights, network.names("layer.1."));
    EXPECT_LT(weights.shared_bytes(), shared);
    EXPECT_EQ(network.place(kQuery), place);
    EXPECT_EQ(network.rounded().const_data_ptr(), kept.const_data_ptr());
    transition(network, weights, {});
    EXPECT_EQ(weights.shared_bytes(), shared);
    for (const std::string& name : network.names("")) {
      EXPECT_TRUE(at::equal(network.tensor(name), untouched.tensor(name))) << name;
    }
  });
}

/// Calls `before` ahead of each gather of texts, by which ranks share.
class WatchedGathers final : public ForwardingCommunicator {
 public:
  WatchedGathers(Communicator& inner, std::function<void()> before)
      : ForwardingCommunicator(inner), before_(std::move(before)) {}
  using ForwardingCommunicator::all_gather;
  std::vector<std::string> all_gather(std::string_view bytes) override {
    before_();
    return ForwardingCommunicator::all_gather(bytes);
  }

 private:
  std::function<void()> before_;
};

TEST(FrozenWeights, AreSharedAsSoonAsAPieceIsOnTheHost) {
  run_ranks(2, [](Communicator& communicator) {
    const Network network, untouched;
    auto on_host = std::make_unique<HostWeights>(*network.model, *network.parameters, at::kCPU);
    const HostWeights& host = *on_host;
    std::set<std::int64_t> moved;  // when ranks shared
    WatchedGathers watched(communicator, [&] { moved.insert(host.bytes()); });
    FrozenWeights weights(std::move(on_host),
                          std::make_unique<SharedWeights>(*network.parameters, watched),
                          /*piece=*/1);
    transition(network, weights, {});
    // Where the CPU stands for the GPU, the rest is there to be shared with the first piece.
    EXPECT_EQ(moved, (std::set<std::int64_t>{0, 4 * 3 * kSquare}));
    EXPECT_EQ(host.bytes(), 4 * 2 * kLayerElements) << "the other pieces have gone too";
    for (const std::string& name : network.names("")) {
      EXPECT_TRUE(at::equal(network.tensor(name), untouched.tensor(name))) << name;
    }
  });
}

}  // namespace
}  // namespace thaw
