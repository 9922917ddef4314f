// Gradual unfreezing on 1 to 4 ranks (threads of this process) against plain PyTorch in which
// layers were frozen by hand, in float64: what tests/core/models/fixtures/make_training_fixtures.py
// wrote.
#include <ATen/Parallel.h>
#include <ATen/ops/tensor.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>

#include "core/data/memory_dataset.h"
#include "core/models/module_model.h"
#include "core/parallel/agreement.h"
#include "core/schedule/schedule.h"
#include "dist/communicator/in_process/in_process.h"
#include "tests/core/models/bert_fixture.h"
#include "tests/support/coordinators.h"
#include "tests/support/training.h"

namespace thaw {
namespace {

using nlohmann::json;

json expected_trainings() {
  std::ifstream file(source_path("tests/core/models/fixtures/training_expected.json"));
  return json::parse(file).at("cases");
}

bool is_bert(const json& expected) { return expected.contains("tokens"); }

std::shared_ptr<Model> model_of(const json& expected) {
  std::shared_ptr<Model> model;
  if (is_bert(expected)) {
    model = bert_of(expected, at::kDouble);
  } else {
    model = empty_resnet("resnet-cifar", expected.at("depth").get<std::int64_t>(),
                         expected.at("classes").get<std::int64_t>());
    fill_by_formula(*model);
    model->to(at::kDouble);
    model->weights_changed();
  }
  return model;
}

Dataset dataset_of(const json& expected) {
  if (!is_bert(expected)) {
    const Batch batch = fixture_batch(expected.at("samples").get<std::int64_t>(),
                                      expected.at("size").get<std::int64_t>(),
                                      expected.at("classes").get<std::int64_t>(), 0, at::kFloat);
    return make_memory_dataset({{"train", batch.inputs.contiguous(), batch.labels}});
  }
  const Batch batch = bert_batch(expected);
  return make_memory_dataset({{"train", batch.inputs.to(at::kInt), batch.labels, batch.offsets}});
}

Schedule schedule_of(const json& expected, const Model& model) {
  Schedule schedule;
  for (const json& each : expected.at("stages")) {
    Stage stage;
    stage.name = "stage " + std::to_string(schedule.stages.size());
    for (const json& group : each.at(0)) {
      stage.groups.push_back(group.get<std::string>());
      const bool head = stage.groups.back() == model.groups().back().name;
      stage.learning_rates.push_back(expected.at(head ? "head_rate" : "rate").get<double>());
    }
    stage.until = after_steps(each.at(1).get<std::int64_t>());
    schedule.stages.push_back(stage);
  }
  return schedule;
}

struct Outcome {
  std::vector<double> losses;
  std::map<std::string, std::vector<double>> weights;  ///< condensed
};

/// Rank 0's, of `ranks` ranks.
Outcome train(const json& expected, int ranks) {
  const std::size_t condensed_size = expected.at("weights").begin()->size();
  Outcome outcome;
  run_ranks(ranks, [&](Communicator& communicator) {
    at::set_num_threads(1);
    const std::shared_ptr<Model> model = model_of(expected);
    const Dataset dataset = dataset_of(expected);
    Training training{.schedule = schedule_of(expected, *model)};
    training.data.batch = dataset.split("train").size();
    training.train.optimizer =
        named<OptimizerKind>(expected.at("optimizer").get<std::string>()).value();
    training.train.weight_decay = expected.at("weight_decay").get<double>();
    const auto coordinator = coordinator_for(communicator);
    Recorder heard;
    training.run(*model, dataset, heard, communicator, *coordinator);
    if (communicator.rank() != 0) return;
    outcome.losses = heard.losses();
    for (const auto& [name, tensor] : named_parameters(*model)) {
      outcome.weights[name] = condensed(name, tensor, condensed_size);
    }
    for (const auto& [name, tensor] : named_buffers(*model)) {
      if (name.ends_with("num_batches_tracked")) continue;
      outcome.weights[name] = condensed(name, tensor, condensed_size);
    }
  });
  return outcome;
}

void expect_as_pytorch(const json& expected, int ranks) {
  const Outcome outcome = train(expected, ranks);
  const auto losses = expected.at("losses").get<std::vector<double>>();
  ASSERT_GE(losses.size(), 30U);
  ASSERT_EQ(outcome.losses.size(), losses.size());
  for (std::size_t i = 0; i < losses.size(); ++i) {
    EXPECT_NEAR(outcome.losses[i], losses[i], 1e-9 * losses[i]) << "step " << i;
  }
  std::size_t compared = 0;
  for (const auto& [name, values] : expected.at("weights").items()) {
    // Its true gradient is zero, so Adam steps by the signs of rounding errors.
    if (name.ends_with("attention.self.key.bias")) continue;
    ASSERT_TRUE(outcome.weights.contains(name)) << name;
    EXPECT_LE(condensed_difference(outcome.weights.at(name), values.get<std::vector<double>>()),
              1e-9)
        << name;
    ++compared;
  }
  EXPECT_GE(compared, 20U);
}

class AsPyTorch : public testing::TestWithParam<std::size_t> {};

TEST_P(AsPyTorch, WhereLayersWereFrozenByHand) {
  const json expected = expected_trainings().at(GetParam());
  for (const int ranks : {1, 2, 3, 4}) {
    SCOPED_TRACE(expected.at("name").get<std::string>() + " on " + std::to_string(ranks));
    expect_as_pytorch(expected, ranks);
  }
}

std::string case_name(const testing::TestParamInfo<std::size_t>& info) {
  std::string name = expected_trainings().at(info.param).at("name").get<std::string>();
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
}

INSTANTIATE_TEST_SUITE_P(Schedules, AsPyTorch, testing::Range<std::size_t>(0, 6), case_name);

// What the comparison must notice: a group that trains in one stage more than it was told to.
TEST(AsPyTorchNotices, AGroupThatWasNotFrozen) {
  json expected = expected_trainings().at(0);
  auto& groups = expected.at("stages").at(0).at(0);
  groups.insert(groups.begin(), "encoder.1");
  const Outcome outcome = train(expected, 2);
  const auto values =
      expected.at("weights").at("encoder.layer.1.output.dense.weight").get<std::vector<double>>();
  EXPECT_GT(condensed_difference(outcome.weights.at("encoder.layer.1.output.dense.weight"), values),
            1e-5);
}

}  // namespace
}  // namespace thaw
