// Prompts, running text and classes of tokens: from files and from memory, in batches, narrowed,
// matched by name; which tokens count; and what is refused.
#include "core/data/counted_tokens.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/tensor.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

#include "core/base/error.h"
#include "core/base/hash.h"
#include "core/data/dataset.h"
#include "core/data/identity/data_facts.h"
#include "core/data/label_matching.h"
#include "core/data/loading/evaluation_loader.h"
#include "core/data/memory_dataset.h"
#include "core/data/upload/packed_batch.h"
#include "tests/core/data/hdf5_writer.h"

namespace thaw {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using Ints = std::vector<std::int32_t>;
using Longs = std::vector<std::int64_t>;

Longs numbers_of(const at::Tensor& tensor) {
  const at::Tensor longs = tensor.to(at::kLong).contiguous();
  return {longs.const_data_ptr<std::int64_t>(),
          longs.const_data_ptr<std::int64_t>() + longs.numel()};
}

/// Samples of 3, 1, 4 and 2 tokens, of which `write` says what is learnt.
class CountedTokensTest : public testing::Test {
 protected:
  std::string file(const std::function<void(Hdf5Writer&)>& write,
                   const std::string& name = "a.h5") {
    Hdf5Writer writer(folder_ / name);
    texts(writer, "train");
    write(writer);
    return writer.path();
  }
  static void texts(Hdf5Writer& writer, const std::string& split) {
    writer.write("/" + split + "/tokens", {10}, Ints{0, 1, 2, 3, 4, 5, 6, 7, 8, 9});
    writer.write("/" + split + "/offsets", {5}, Longs{0, 3, 4, 8, 10});
  }
  static void prompts(Hdf5Writer& writer, const Ints& lengths, const std::string& split = "train") {
    writer.write("/" + split + "/prompt_lengths", {lengths.size()}, lengths);
  }
  static void token_labels(Hdf5Writer& writer, const Ints& labels,
                           const std::string& split = "train") {
    writer.write("/" + split + "/token_labels", {labels.size()}, labels);
  }
  std::string refusal(const std::function<void(Hdf5Writer&)>& write) {
    const std::string path = file(write);
    return message_of<InputError>([&] { Dataset({path}); });
  }
  static Batch batch_of(Dataset& dataset, std::int64_t samples) {
    dataset.split("train").prepare({});
    EvaluationLoader loader(dataset, "train", {.batch = samples, .read_ahead = 0});
    return loader.next().value();
  }

  TemporaryFolder folder_;
};

const Ints kTokenLabels = {0, -100, 2, 1, -100, -100, 1, 0, 2, -100};

TEST(CountedNextTokens, BeginAfterThePromptAndNeverWithTheFirst) {
  EXPECT_EQ(counted_next_tokens(5, 0), 4);
  EXPECT_EQ(counted_next_tokens(5, 1), 4);
  EXPECT_EQ(counted_next_tokens(5, 3), 2);
  EXPECT_EQ(counted_next_tokens(5, 5), 0);
  EXPECT_EQ(counted_next_tokens(1, 0), 0);
  EXPECT_EQ(counted_next_tokens(1, 1), 0);
}

TEST_F(CountedTokensTest, PromptsOfAFile) {
  Dataset dataset({file([](Hdf5Writer& writer) { prompts(writer, {1, 0, 2, 2}); })});
  EXPECT_EQ(dataset.label_type(), LabelType::kPrompts);
  EXPECT_TRUE(dataset.classes().empty());
  const CountedTokens counted = counted_tokens(dataset.split("train"));
  EXPECT_EQ(counted.tokens, 2 + 0 + 2 + 0);
  EXPECT_EQ(counted.samples_without, 2);
  EXPECT_THAT(dataset.describe(),
              AllOf(HasSubstr("text, prompts and what follows"),
                    HasSubstr("prompts of 0 to 2 tokens; 4 tokens count; 2 samples have none")));
  const Batch batch = batch_of(dataset, 4);
  EXPECT_EQ(batch.labels.scalar_type(), at::kLong);
  EXPECT_FALSE(batch.labels_of_tokens);
  EXPECT_THAT(numbers_of(batch.labels), ElementsAre(1, 0, 2, 2));
  EXPECT_EQ(counted_tokens(batch), 4);
  EXPECT_EQ(counted_tokens(batch.slice(1, 3)), 2);
  EXPECT_THAT(numbers_of(batch.slice(1, 3).labels), ElementsAre(0, 2));
}

TEST_F(CountedTokensTest, ClassesOfTokensOfAFile) {
  Dataset dataset({file([](Hdf5Writer& writer) {
    token_labels(writer, kTokenLabels);
    writer.strings("classes", {"O", "B-x", "I-x"});
  })});
  EXPECT_EQ(dataset.label_type(), LabelType::kTokens);
  const CountedTokens counted = counted_tokens(dataset.split("train"));
  EXPECT_EQ(counted.tokens, 6);
  EXPECT_EQ(counted.samples_without, 0);
  EXPECT_THAT(dataset.describe(), AllOf(HasSubstr("text, 3 classes: O, B-x, I-x"),
                                        HasSubstr("2 to 2 tokens a class; 6 tokens count")));
  const Batch batch = batch_of(dataset, 4);
  EXPECT_TRUE(batch.labels_of_tokens);
  EXPECT_THAT(numbers_of(batch.labels), testing::ElementsAreArray(kTokenLabels));
  const Batch part = batch.slice(1, 3);
  EXPECT_TRUE(part.labels_of_tokens);
  EXPECT_THAT(numbers_of(part.labels), ElementsAre(1, -100, -100, 1, 0));
  EXPECT_EQ(counted_tokens(part), 3);
  EXPECT_EQ(batch.slice(2, 2).labels.numel(), 0);
}

TEST_F(CountedTokensTest, ClassesWithoutNamesAreNumbered) {
  const Dataset dataset({file([](Hdf5Writer& writer) { token_labels(writer, kTokenLabels); })});
  EXPECT_THAT(dataset.classes(), ElementsAre("0", "1", "2"));
}

TEST_F(CountedTokensTest, RunningTextHasNoLabels) {
  Dataset dataset({file([](Hdf5Writer&) {})});
  EXPECT_EQ(dataset.label_type(), LabelType::kPrompts);
  EXPECT_FALSE(dataset.split("train").labels().prompts().said);
  EXPECT_THAT(dataset.describe(), HasSubstr("text, running text"));
  EXPECT_EQ(counted_tokens(dataset.split("train")).tokens, 2 + 0 + 3 + 1);
  EXPECT_THAT(numbers_of(batch_of(dataset, 4).labels), ElementsAre(0, 0, 0, 0));
}

/// Also a split by a name of its own, as of another corpus.
TEST_F(CountedTokensTest, RunningTextMayBeOfAnySplit) {
  const Dataset dataset({file([](Hdf5Writer& writer) { texts(writer, "verses"); })});
  EXPECT_THAT(dataset.split_names(), ElementsAre("train", "verses"));
}

TEST_F(CountedTokensTest, BytesOfTheCountedText) {
  Dataset dataset({file([](Hdf5Writer& writer) {
    prompts(writer, {1, 0, 2, 0});
    writer.write("/train/bytes", {4}, Ints{7, 0, 12, 3});
  })});
  EXPECT_THAT(dataset.describe(), HasSubstr("text with bytes"));
  const Batch batch = batch_of(dataset, 4);
  EXPECT_THAT(numbers_of(batch.bytes), ElementsAre(7, 0, 12, 3));
  EXPECT_THAT(numbers_of(batch.slice(2, 4).bytes), ElementsAre(12, 3));
}

/// Whatever narrows, matches, packs or compares a dataset knows all of it.
TEST_F(CountedTokensTest, FollowTheirSamples) {
  Dataset dataset({file([](Hdf5Writer& writer) {
    token_labels(writer, kTokenLabels);
    writer.strings("classes", {"O", "B-x", "I-x"});
  })});
  dataset.split("train").prepare({});
  dataset.narrow("train", {0, 2});
  EXPECT_THAT(numbers_of(batch_of(dataset, 4).labels), ElementsAre(0, -100, 2, -100, -100, 1, 0));

  Dataset with_bytes({file(
      [](Hdf5Writer& writer) {
        prompts(writer, {1, 0, 2, 0});
        writer.write("/train/bytes", {4}, Ints{7, 0, 12, 3});
      },
      "b.h5")});
  with_bytes.split("train").prepare({});
  with_bytes.narrow("train", {2, 3});
  EXPECT_THAT(numbers_of(batch_of(with_bytes, 2).bytes), ElementsAre(12, 3));
  EXPECT_THAT(numbers_of(batch_of(with_bytes, 2).labels), ElementsAre(2, 0));
}

TEST_F(CountedTokensTest, SamplesThatCountNothingAreNoTrainingData) {
  Dataset dataset({file([](Hdf5Writer& writer) { prompts(writer, {3, 0, 2, 2}); })});
  dataset.split("train").prepare({});
  EXPECT_THAT(message_of<InputError>([&] {
                dataset.narrow("train", {0, 1});
              }),
              HasSubstr("what is chosen of /train: no token of its 2 samples counts"));
}

TEST_F(CountedTokensTest, AreMatchedByTheNamesOfTheirClasses) {
  Dataset dataset({file([](Hdf5Writer& writer) {
    token_labels(writer, kTokenLabels);
    writer.strings("classes", {"O", "B-x", "I-x"});
  })});
  const std::vector<std::string> trained = {"I-x", "O", "B-y", "B-x"};
  const Longs places = places_among(dataset.classes(), trained);
  EXPECT_TRUE(unplaced(dataset.split("train").labels(), places).empty());
  dataset.relabel(trained, places);
  EXPECT_THAT(dataset.split("train").labels().tokens().classes,
              ElementsAre(1, -100, 0, 3, -100, -100, 3, 1, 0, -100));
  const Longs without = places_among(trained, {"O", "B-x"});
  EXPECT_THAT(unplaced(dataset.split("train").labels(), without), ElementsAre(0))
      << "I-x occurs, B-y does not";
  EXPECT_THAT(renumbered(dataset.split("train").labels(), without, 2).tokens().classes,
              ElementsAre(0, -100, -100, 1, -100, -100, 1, 0, -100, -100));
}

TEST_F(CountedTokensTest, TravelWithTheBatch) {
  Dataset dataset({file([](Hdf5Writer& writer) { token_labels(writer, kTokenLabels); })});
  const Batch batch = batch_of(dataset, 4).slice(0, 3);
  const PackedBatch packed(batch, /*pinned=*/false);
  const Batch there = packed.view(packed.bytes().clone(), packed.images());
  EXPECT_TRUE(there.labels.equal(batch.labels));
  EXPECT_TRUE(there.labels_of_tokens);
  EXPECT_EQ(counted_tokens(there), counted_tokens(batch));
}

TEST_F(CountedTokensTest, TellOneDatasetFromAnother) {
  const auto facts = [](const Dataset& dataset) {
    return std::make_pair(dataset.fingerprint().hex(), data_facts(dataset, {{"train", ""}}));
  };
  const auto with = [&](const std::function<void(Hdf5Writer&)>& write, const std::string& name) {
    return facts(Dataset({file(write, name)}));
  };
  const auto bytes = [](int first) {
    return [first](Hdf5Writer& writer) {
      prompts(writer, {0, 0, 0, 0});
      writer.write("/train/bytes", {4}, Ints{first, 0, 12, 3});
    };
  };
  const std::vector all = {
      with([](Hdf5Writer&) {}, "0.h5"),
      with(
          [](Hdf5Writer& writer) {
            prompts(writer, {0, 0, 0, 0});
          },
          "1.h5"),
      with(
          [](Hdf5Writer& writer) {
            prompts(writer, {1, 0, 0, 0});
          },
          "2.h5"),
      with(bytes(7), "3.h5"),
      with(bytes(8), "4.h5"),
      with([](Hdf5Writer& writer) { token_labels(writer, kTokenLabels); }, "5.h5"),
  };
  for (std::size_t i = 0; i < all.size(); ++i) {
    for (std::size_t k = i + 1; k < all.size(); ++k) {
      EXPECT_NE(all[i].first, all[k].first) << i << " and " << k;
      EXPECT_NE(all[i].second, all[k].second) << i << " and " << k;
    }
  }
  EXPECT_EQ(with(bytes(7), "6.h5"), all[3]);
}

TEST_F(CountedTokensTest, FilesAreJoined) {
  const auto write = [](Hdf5Writer& writer) {
    token_labels(writer, kTokenLabels);
    writer.strings("classes", {"O", "B-x", "I-x"});
  };
  Dataset dataset({file(write), file(write, "b.h5")});
  dataset.split("train").prepare({});
  EvaluationLoader loader(dataset, "train", {.batch = 5, .read_ahead = 0});
  loader.next();
  const Batch second = loader.next().value();
  EXPECT_THAT(numbers_of(second.labels), ElementsAre(1, -100, -100, 1, 0, 2, -100));
  const auto other = [](Hdf5Writer& writer) { prompts(writer, {0, 0, 0, 0}); };
  const std::string running = file([](Hdf5Writer&) {}, "c.h5");
  EXPECT_THAT(message_of<InputError>([&] {
                Dataset({file(other, "d.h5"), running});
              }),
              HasSubstr("labels are none (running text), but those before prompt_lengths int32"));
}

TEST_F(CountedTokensTest, WhatIsWrongIsSaid) {
  const auto prompt = [this](const Ints& lengths) {
    return refusal([&](Hdf5Writer& writer) { prompts(writer, lengths); });
  };
  EXPECT_THAT(prompt({1, 0, 2}), HasSubstr("prompt_lengths: has 3 entries, must have one a sample, "
                                           "4"));
  EXPECT_THAT(prompt({1, 0, 5, 2}),
              HasSubstr("/train/prompt_lengths: sample 2 has a prompt of 5 tokens, but 4 tokens"));
  EXPECT_THAT(prompt({1, -1, 0, 2}), HasSubstr("sample 1 has a prompt of -1 tokens"));
  EXPECT_THAT(prompt({3, 0, 4, 2}), HasSubstr("/train: no token of its 4 samples counts"));
  const auto labels = [this](const Ints& values) {
    return refusal([&](Hdf5Writer& writer) { token_labels(writer, values); });
  };
  EXPECT_THAT(labels({0, 1}), HasSubstr("token_labels: has 2 entries, must have one a token, 10"));
  EXPECT_THAT(labels({0, 1, 1, 1, 1, -99, 1, 1, 1, 1}),
              HasSubstr("/train/token_labels: token 1 of sample 2 has label -99"));
  EXPECT_THAT(labels(Ints(10, -100)), HasSubstr("all token_labels are -100"));
  EXPECT_THAT(refusal([](Hdf5Writer& writer) {
                token_labels(writer, kTokenLabels);
                writer.strings("classes", {"O", "B-x"});
              }),
              HasSubstr("/train/token_labels: token 2 has label 2, but attribute \"classes\" names "
                        "2 classes"));
  EXPECT_THAT(refusal([](Hdf5Writer& writer) {
                prompts(writer, {0, 0, 0, 0});
                writer.write("/train/labels", {4}, Longs{0, 1, 0, 1});
              }),
              HasSubstr("/train holds labels and prompt_lengths, of which a split has one"));
  EXPECT_THAT(refusal([](Hdf5Writer& writer) {
                prompts(writer, {0, 0, 0, 0});
                token_labels(writer, kTokenLabels);
              }),
              HasSubstr("/train holds token_labels and prompt_lengths"));
  EXPECT_THAT(
      refusal([](Hdf5Writer& writer) {
        writer.write("/train/prompt_lengths", {4}, Longs{0, 0, 0, 0});
      }),
      HasSubstr("prompt_lengths: dtype is int64, must be int32 (numpy: .astype(\"int32\"))"));
  EXPECT_THAT(refusal([](Hdf5Writer& writer) {
                prompts(writer, {0, 0, 0, 0});
                writer.strings("classes", {"a", "b"});
              }),
              HasSubstr("attribute \"classes\" names what labels stand for"));
}

TEST_F(CountedTokensTest, WhatIsWrongWithBytesIsSaid) {
  const auto bytes = [this](const Ints& counts) {
    return refusal([&](Hdf5Writer& writer) {
      prompts(writer, {0, 0, 0, 0});
      writer.write("/train/bytes", {counts.size()}, counts);
    });
  };
  EXPECT_THAT(bytes({1, 2}), HasSubstr("/train/bytes: has 2 entries, must have one a sample, 4"));
  EXPECT_THAT(bytes({1, 2, -3, 4}), HasSubstr("sample 2 has -3 bytes"));
  EXPECT_THAT(bytes({0, 0, 0, 0}), HasSubstr("all of its bytes are 0"));
  EXPECT_THAT(refusal([](Hdf5Writer& writer) {
                prompts(writer, {0, 0, 0, 0});
                writer.write("/train/bytes", {4}, Ints{1, 1, 1, 1});
                texts(writer, "validation");
                prompts(writer, {0, 0, 0, 0}, "validation");
              }),
              AllOf(HasSubstr("holds text"), HasSubstr("all splits of all files must be alike")));
}

TEST(CountedTokensInMemory, AreAsInAFile) {
  const MemorySplit text{.name = "train",
                         .inputs = at::arange(10, at::kInt),
                         .labels = {},
                         .offsets = at::tensor(Longs{0, 3, 4, 8, 10})};
  MemorySplit tokens = text, prompts = text;
  tokens.token_labels = at::tensor(kTokenLabels);
  prompts.prompt_lengths = at::tensor(Ints{1, 0, 2, 0});
  prompts.bytes = at::tensor(Ints{1, 2, 3, 4});
  const Dataset of_tokens = make_memory_dataset({tokens});
  EXPECT_EQ(counted_tokens(of_tokens.split("train")).tokens, 6);
  const Dataset of_prompts = make_memory_dataset({prompts});
  EXPECT_EQ(counted_tokens(of_prompts.split("train")).tokens, 2 + 0 + 2 + 1);
  EXPECT_EQ(make_memory_dataset({text}, {.task = "causal-lm"}).task(), "causal-lm");
  EXPECT_EQ(counted_tokens(make_memory_dataset({text}).split("train")).tokens, 6);
  const auto refusal = [](const MemorySplit& split) {
    return message_of<InputError>([&] { make_memory_dataset({split}); });
  };
  prompts.token_labels = tokens.token_labels;
  EXPECT_THAT(refusal(prompts), HasSubstr("has more than one of labels, token_labels and"));
  tokens.token_labels = at::tensor(Ints(10, -100));
  EXPECT_THAT(refusal(tokens), HasSubstr("no token of its 4 samples counts"));
  tokens.token_labels = at::tensor(Ints(9, 0));
  EXPECT_THAT(refusal(tokens), HasSubstr("token_labels must be int32"));
}

}  // namespace
}  // namespace thaw
