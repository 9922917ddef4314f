// Labels of every type: from files, from memory, in batches; and what is wrong with them.
#include "core/data/labels.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

#include "core/base/error.h"
#include "core/base/hash.h"
#include "core/data/dataset.h"
#include "core/data/loading/evaluation_loader.h"
#include "core/data/memory_dataset.h"
#include "tests/core/data/hdf5_writer.h"
#include "tests/support/paths.h"

namespace thaw {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using Bytes = std::vector<std::uint8_t>;
using Floats = std::vector<float>;

class LabelsTest : public testing::Test {
 protected:
  /// Two images a split; `write` adds labels and attributes.
  std::string file(const std::function<void(Hdf5Writer&)>& write,
                   const std::string& name = "a.h5") {
    Hdf5Writer writer(folder_ / name);
    writer.write("/train/inputs", {2, 1, 1, 1}, Bytes{0, 0});
    write(writer);
    return writer.path();
  }
  std::string refusal(const std::function<void(Hdf5Writer&)>& write) {
    const std::string path = file(write);
    try {
      Dataset({path});
    } catch (const InputError& error) {
      return error.what();
    }
    return "no error";
  }
  static at::Tensor batch_labels(Dataset& dataset) {
    dataset.split("train").prepare({});
    EvaluationLoader loader(dataset, "train", {.batch = 2, .read_ahead = 0});
    return loader.next().value().labels;
  }

  TemporaryFolder folder_;
};

TEST_F(LabelsTest, Flags) {
  Dataset dataset({file([](Hdf5Writer& writer) {
    writer.write("/train/labels", {2, 3}, Bytes{1, 0, 1, 0, 0, 1});
    writer.strings("classes", {"a", "b", "c"}).strings("task", {"multi-label"});
  })});
  EXPECT_EQ(dataset.label_type(), LabelType::kFlags);
  EXPECT_EQ(dataset.label_width(), 3);
  EXPECT_EQ(dataset.task(), "multi-label");
  EXPECT_THAT(dataset.classes(), ElementsAre("a", "b", "c"));
  EXPECT_EQ(dataset.split("train").size(), 2);
  EXPECT_THAT(dataset.describe(), HasSubstr("0 to 2 samples a class"));
  EXPECT_TRUE(at::equal(batch_labels(dataset),
                        at::tensor({1, 0, 1, 0, 0, 1}, at::kLong).to(at::kByte).view({2, 3})));
}

TEST_F(LabelsTest, FlagsWithoutNames) {
  const Dataset dataset({file([](Hdf5Writer& writer) {
    writer.write("/train/labels", {2, 2}, Bytes{1, 0, 1, 0});
  })});
  EXPECT_THAT(dataset.classes(), ElementsAre("0", "1"));
  EXPECT_EQ(dataset.task(), "");
}

TEST_F(LabelsTest, Numbers) {
  Dataset one({file([](Hdf5Writer& writer) {
    writer.write("/train/labels", {2}, Floats{-1.5, 3.25});
  })});
  EXPECT_EQ(one.label_type(), LabelType::kValues);
  EXPECT_EQ(one.label_width(), 1);
  EXPECT_TRUE(one.classes().empty());
  EXPECT_THAT(one.describe(), HasSubstr("1 numbers a sample"));
  EXPECT_THAT(one.describe(), HasSubstr("-1.5 to 3.25"));
  EXPECT_TRUE(at::equal(batch_labels(one), at::tensor({-1.5F, 3.25F}).view({2, 1})));

  const Dataset several({file([](Hdf5Writer& writer) {
    writer.write("/train/labels", {2, 2}, Floats{1, 2, 3, 4});
    writer.strings("targets", {"x", "y"});
  })});
  EXPECT_EQ(several.label_width(), 2);
  EXPECT_THAT(several.targets(), ElementsAre("x", "y"));
}

TEST_F(LabelsTest, FilesAreJoinedAndNarrowed) {
  const auto part = [&](const char* name, const Floats& values) {
    return file([&](Hdf5Writer& writer) { writer.write("/train/labels", {2, 2}, values); }, name);
  };
  Dataset dataset({part("a.h5", {1, 2, 3, 4}), part("b.h5", {5, 6, 7, 8})});
  dataset.split("train").prepare({});
  const Fingerprint before = dataset.fingerprint();
  dataset.narrow("train", {1, 2});
  EXPECT_THAT(dataset.split("train").labels().values(), ElementsAre(3, 4, 5, 6));
  EXPECT_NE(dataset.fingerprint().hex(), before.hex());
}

TEST_F(LabelsTest, WhatIsWrongInAFile) {
  const auto flags = [&](const Bytes& values) {
    return refusal([&](Hdf5Writer& writer) {
      writer.write("/train/labels", {2, 2}, values);
      writer.strings("classes", {"a", "b", "c"});
    });
  };
  EXPECT_THAT(flags({0, 1, 2, 0}),
              HasSubstr("/train/labels: sample 1 has 2 for class 0; labels uint8 must be 0 or 1"));
  EXPECT_THAT(
      flags({0, 1, 1, 0}),
      HasSubstr("/train/labels: labels are uint8 [N, 2], but attribute \"classes\" names 3"));
  EXPECT_THAT(refusal([](Hdf5Writer& writer) {
                writer.write("/train/labels", {2, 2}, std::vector<std::int32_t>{0, 1, 1, 0});
              }),
              HasSubstr("/train/labels: dtype is int32, must be uint8"));
  EXPECT_THAT(refusal([](Hdf5Writer& writer) {
                writer.write("/train/labels", {2}, Floats{1, std::nanf("")});
              }),
              HasSubstr("/train/labels: sample 1 has label nan; labels must be finite"));
  EXPECT_THAT(refusal([](Hdf5Writer& writer) {
                writer.write("/train/labels", {2}, std::vector<double>{1, 2});
              }),
              HasSubstr("/train/labels: dtype is float64, must be float32"));
  EXPECT_THAT(refusal([](Hdf5Writer& writer) {
                writer.write("/train/labels", {2, 1, 1}, Floats{1, 2});
              }),
              HasSubstr("must be [samples] or [samples, targets]"));
  EXPECT_THAT(refusal([](Hdf5Writer& writer) {
                writer.write("/train/labels", {2}, Floats{1, 2});
                writer.write("/test/inputs", {2, 1, 1, 1}, Bytes{0, 0});
                writer.write("/test/labels", {2, 1}, Bytes{0, 1});
              }),
              HasSubstr("labels are float32 [N, 1], but those before uint8 [N, 1]"));
  EXPECT_THAT(refusal([](Hdf5Writer& writer) {
                writer.write("/train/labels", {2}, Floats{1, 2});
                writer.strings("task", {"regression", "multi-label"});
              }),
              HasSubstr("attribute \"task\": must be a string"));
}

TEST_F(LabelsTest, NumbersAreNoClassesThatHaveNames) {
  EXPECT_THAT(refusal([](Hdf5Writer& writer) {
                writer.write("/train/labels", {2}, Floats{0, 1});
                writer.strings("classes", {"a", "b"});
              }),
              HasSubstr("/train/labels: dtype is float32, must be int64 where attribute"));
}

TEST(MemoryLabels, OfEveryType) {
  const at::Tensor images = at::zeros({2, 1, 1, 1}, at::kFloat);
  const auto of = [&](const at::Tensor& labels, const MemoryDatasetFacts& facts = {}) {
    return make_memory_dataset({{"train", images, labels}}, facts);
  };
  EXPECT_EQ(of(at::zeros({2, 3}, at::kByte)).classes().size(), 3U);
  EXPECT_EQ(of(at::zeros({2}, at::kFloat)).label_width(), 1);
  EXPECT_THAT(of(at::zeros({2, 2}, at::kFloat), {.targets = {"x", "y"}}).targets(),
              ElementsAre("x", "y"));
  EXPECT_THROW(of(at::zeros({2, 2}, at::kFloat), {.targets = {"x"}}), InputError);
  EXPECT_THROW(of(at::zeros({2, 2}, at::kByte) + 2), InputError);
  EXPECT_THROW(of(at::zeros({2, 2}, at::kDouble)), InputError);
  EXPECT_THROW(of(at::zeros({2}, at::kByte)), InputError);
}

}  // namespace
}  // namespace thaw
