#include "core/step/sharing/shared_weights.h"

#include <ATen/core/Tensor.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/equal.h>
#include <c10/core/GradMode.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "core/base/error.h"
#include "core/kernels/project.h"
#include "core/models/model.h"
#include "core/parallel/communicator.h"
#include "core/step/parameter_table.h"
#include "dist/communicator/in_process/in_process.h"

namespace thaw {
namespace {

using ::testing::HasSubstr;

/// One weight of 32 KiB in the first group, two that are neighbours in the second, a small one in
/// the third.
class WideModel : public Model {
 public:
  WideModel() {
    const c10::AutoGradMode no_grad(false);
    add("lower", "weight", {64, 128});
    add("upper", "query", {64, 64});
    add("upper", "key", {64, 64});
    add("head", "weight", {3, 64});
    lay_together({tensor("upper.query"), tensor("upper.key")});
    for (const char* name : {"lower", "upper", "head"}) {
      groups_.push_back({name, {std::string(name) + ".*"}});
    }
  }
  const std::vector<ParameterGroup>& groups() const override { return groups_; }
  at::Tensor run(std::size_t, std::size_t, at::Tensor input, const Batch&) override {
    return input;
  }
  at::Tensor tensor(const std::string& name) const { return named_parameters()[name]; }
  const char* place(const std::string& name) const {
    return static_cast<const char*>(tensor(name).const_data_ptr());
  }
  float value(const std::string& name, std::size_t element) const {
    return static_cast<const float*>(tensor(name).const_data_ptr())[element];
  }

 private:
  void add(const std::string& module, const std::string& name, std::vector<std::int64_t> shape) {
    auto& held = holders_[module];
    if (!held) held = register_module(module, std::make_shared<torch::nn::Module>());
    std::int64_t elements = 1;
    for (const std::int64_t size : shape) elements *= size;
    held->register_parameter(name, at::arange(elements, at::kFloat).mul(0.37).sin().view(shape));
  }

  std::map<std::string, std::shared_ptr<torch::nn::Module>> holders_;
  std::vector<ParameterGroup> groups_;
};

constexpr std::int64_t kLower = 64 * 128 * 4, kUpper = 2 * 64 * 64 * 4;

/// A rank as a thread: its own copy of the model, and what it shares.
struct Rank {
  explicit Rank(Communicator& communicator)
      : parameters(model, /*decay_all=*/false), shared(parameters, communicator) {}
  void write(const std::string& name, float value) {
    const c10::AutoGradMode no_grad(false);
    model.tensor(name).fill_(value);
  }
  WideModel model;
  ParameterTable parameters;
  SharedWeights shared;
};

void on_ranks(int ranks, const std::function<void(Communicator&, Rank&)>& body) {
  run_ranks(ranks, [&](Communicator& communicator) {
    Rank rank(communicator);
    body(communicator, rank);
  });
}

const std::set<std::string> kHead = {"head.weight"};
const std::set<std::string> kUpperAndHead = {"upper.query", "upper.key", "head.weight"};

TEST(SharedWeights, KeepTheirValuesAndTheirNeighbours) {
  const WideModel before;
  on_ranks(3, [&](Communicator&, Rank& rank) {
    const at::Tensor view = rank.model.tensor("upper.key").detach().narrow(0, 1, 2);
    rank.shared.freeze(kHead);
    EXPECT_EQ(rank.shared.bytes(), kLower + kUpper);
    for (const auto& item : before.named_parameters()) {
      EXPECT_TRUE(at::equal(rank.model.tensor(item.key()), item.value())) << item.key();
    }
    EXPECT_EQ(rank.model.place("upper.key") - rank.model.place("upper.query"), kUpper / 2);
    EXPECT_EQ(view.const_data_ptr(), rank.model.place("upper.key") + 64 * 4);
  });
}

TEST(SharedWeights, AreTheSamePagesUntilSomebodyWrites) {
  on_ranks(2, [](Communicator& communicator, Rank& rank) {
    rank.shared.freeze(kHead);
    if (communicator.rank() == 1) rank.write("lower.weight", 7);  // a mistake
    communicator.barrier();
    const float expected = communicator.rank() == 1 ? 7.0F : 0.0F;
    EXPECT_EQ(rank.model.value("lower.weight", 0), expected);
  });
}

TEST(SharedWeights, HaveMemoryOfTheirOwnOnceTheyThaw) {
  on_ranks(3, [](Communicator& communicator, Rank& rank) {
    rank.shared.freeze(kHead);
    const at::Tensor before = rank.model.tensor("upper.query").detach().clone();
    // Prepared on some ranks and not on others, as late threads would have it.
    if (communicator.rank() > 0) rank.shared.prepare(kUpperAndHead);
    rank.shared.thaw(kUpperAndHead);
    rank.shared.freeze(kUpperAndHead);
    EXPECT_EQ(rank.shared.bytes(), kLower);
    EXPECT_TRUE(at::equal(rank.model.tensor("upper.query"), before));
    EXPECT_EQ(rank.model.place("upper.key") - rank.model.place("upper.query"), kUpper / 2);
    rank.write("upper.query", 5);  // as training does, on all ranks alike
    rank.shared.thaw(kHead);
    rank.shared.freeze(kHead);
    EXPECT_EQ(rank.shared.bytes(), kLower + kUpper);
    EXPECT_EQ(rank.model.value("upper.query", 64 * 64 - 1), 5);
    EXPECT_FALSE(at::equal(rank.model.tensor("upper.key"), rank.model.tensor("upper.query")));
  });
}

TEST(SharedWeights, ThatDifferAreNamed) {
  std::string told;
  try {
    on_ranks(3, [](Communicator& communicator, Rank& rank) {
      if (communicator.rank() == 2) rank.write("upper.key", 1);
      rank.shared.freeze(kHead);
    });
  } catch (const DisagreementError& error) {
    told = error.what();
  }
  EXPECT_THAT(told, HasSubstr("weight upper.query: rank 2 holds other values"));
}

TEST(SharedWeights, OfARankAloneStayItsOwn) {
  on_ranks(1, [](Communicator&, Rank& rank) {
    const char* before = rank.model.place("lower.weight");
    rank.shared.freeze(kHead);
    EXPECT_EQ(rank.shared.bytes(), 0);
    EXPECT_EQ(rank.model.place("lower.weight"), before);
  });
}

TEST(HostPages, AreReadByAnotherProcessAndKeptFromItsWrites) {
  WrittenPages pages;
  const std::string text = "weights";
  EXPECT_EQ(pages.append("first", 5), 0U);
  const std::size_t place = pages.append(text.data(), text.size());
  EXPECT_EQ(place, in_whole_pages(1));
  const PagesTicket ticket = decode_pages_ticket(encode(pages.ticket()));
  const pid_t child = fork();
  if (child == 0) {
    int result = 1;
    try {
      const MappedPages mapped(ticket);
      if (std::memcmp(mapped.at(place), text.data(), text.size()) == 0) result = 0;
      mapped.at(place)[0] = 'W';
    } catch (const RunError&) {
      result = 2;
    }
    _exit(result);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  EXPECT_EQ(std::memcmp(MappedPages(ticket).at(place), text.data(), text.size()), 0);
}

TEST(HostPages, ThatAreNotTheOnesToldAreRefused) {
  PagesTicket ticket;
  {
    WrittenPages pages;
    pages.append("text", 4);
    ticket = pages.ticket();
    PagesTicket other = ticket;
    ++other.inode;
    EXPECT_THROW(MappedPages{other}, RunError);
  }
  EXPECT_THROW(MappedPages{ticket}, RunError);
  EXPECT_THROW(decode_pages_ticket("12 words"), RunError);
}

}  // namespace
}  // namespace thaw
