// State that waits elsewhere while its parameters are frozen: the same bits come back, nothing is
// left behind, what goes wrong is named.
#include "core/train/frozen/frozen_state.h"

#include <ATen/ops/full.h>
#include <ATen/ops/randn.h>
#include <c10/core/GradMode.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <functional>

#include "core/base/error.h"
#include "core/config/configuration.h"
#include "core/parallel/one_rank.h"
#include "core/step/optimizer.h"
#include "core/step/optimizers/registry.h"
#include "core/step/parameter_table.h"
#include "tests/core/train/tiny_model.h"
#include "tests/support/temporary_folder.h"

namespace thaw {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

class StateOfFrozenLayers : public testing::Test {
 protected:
  StateOfFrozenLayers() : parameters_(model_, /*decay_all=*/false) {
    const c10::AutoGradMode no_grad(false);
    optimizer_ = make_optimizer({});
    std::vector<std::string> names;
    for (std::size_t i = 0; i < parameters_.size(); ++i) {
      names.push_back(parameters_.facts()[i].name);
    }
    optimizer_->make_states(names, parameters_.tensors());
    for (const auto& [name, state] : optimizer_->states()) {
      for (const at::Tensor& slot : state.slots) {
        at::Tensor(slot).copy_(at::randn(slot.sizes()));
        expected_[name].push_back(slot.clone());
      }
    }
  }

  /// The names of a group's parameters.
  std::set<std::string> group(const std::string& name) const {
    std::set<std::string> names;
    for (const ParameterFacts& facts : parameters_.facts()) {
      if (facts.name.starts_with(name + ".")) names.insert(facts.name);
    }
    return names;
  }

  AsideMoves enter(FrozenState& frozen, const std::string& active) {
    return frozen.enter_stage(*optimizer_, parameters_, group(active), *alone_);
  }

  void expect_all_bits() const {
    for (const auto& [name, slots] : expected_) {
      for (std::size_t i = 0; i < slots.size(); ++i) {
        EXPECT_TRUE(optimizer_->states().at(name).slots[i].equal(slots[i])) << name;
      }
    }
  }

  std::int64_t bytes(const std::string& name) const {
    std::int64_t sum = 0;
    for (const std::string& each : group(name)) {
      for (const at::Tensor& slot : expected_.at(each)) {
        sum += static_cast<std::int64_t>(slot.nbytes());
      }
    }
    return sum;
  }

  std::size_t files() const {
    return static_cast<std::size_t>(
        std::distance(fs::directory_iterator(folder_.path()), fs::directory_iterator()));
  }

  TemporaryFolder folder_;
  TinyModel model_;
  ParameterTable parameters_;
  std::unique_ptr<Optimizer> optimizer_;
  std::unique_ptr<Communicator> alone_ = make_self_communicator();
  std::map<std::string, std::vector<at::Tensor>> expected_;
};

TEST_F(StateOfFrozenLayers, StaysWhereItIsUnlessAskedFor) {
  for (const FrozenStatePlace place : {FrozenStatePlace::kDevice, FrozenStatePlace::kHost}) {
    FrozenState frozen(place, folder_.path());
    const at::Tensor before = optimizer_->states().at("stem.weight").slots[0];
    const AsideMoves moves = enter(frozen, "head");
    EXPECT_EQ(moves.put_aside, 0);  // it is in host memory
    EXPECT_TRUE(optimizer_->states().at("stem.weight").slots[0].is_same(before));
    enter(frozen, "stem");
  }
  expect_all_bits();
}

TEST_F(StateOfFrozenLayers, WaitsOnDiskAndComesBackWithItsBits) {
  FrozenState frozen(FrozenStatePlace::kDisk, folder_.path());
  AsideMoves moves = enter(frozen, "head");
  EXPECT_EQ(moves.put_aside, bytes("stem") + bytes("middle"));
  EXPECT_EQ(moves.brought_back, 0);
  EXPECT_EQ(files(), 0U) << "what a kill would leave behind";
  EXPECT_TRUE(frozen.is_on_disk(optimizer_->states().at("stem.weight").slots[1]));
  EXPECT_FALSE(frozen.is_on_disk(optimizer_->states().at("head.weight").slots[1]));
  expect_all_bits();
  frozen.let_go_of_pages();
  expect_all_bits();
  moves = enter(frozen, "head");
  EXPECT_EQ(moves.put_aside + moves.brought_back, 0);
  for (const char* active : {"middle", "stem", "middle", "head", "stem"}) {
    moves = enter(frozen, active);
    EXPECT_GT(moves.put_aside, 0);
    EXPECT_EQ(moves.brought_back, bytes(active));
    for (const std::string& name : group(active)) {
      EXPECT_FALSE(frozen.is_on_disk(optimizer_->states().at(name).slots[0])) << name;
    }
    expect_all_bits();
  }
  const c10::AutoGradMode no_grad(false);
  at::Tensor(optimizer_->states().at("stem.weight").slots[0]).add_(1);  // may be written to again
}

TEST_F(StateOfFrozenLayers, GoesOnFromHostMemoryWhereACheckpointWasRead) {
  const c10::AutoGradMode no_grad(false);
  std::vector<std::string> names;
  std::vector<at::Tensor> elsewhere;  // a device without memory stands for a GPU
  for (std::size_t i = 0; i < parameters_.size(); ++i) {
    names.push_back(parameters_.facts()[i].name);
    elsewhere.push_back(parameters_.tensors()[i].to(at::kMeta));
  }
  optimizer_ = make_optimizer({});
  optimizer_->make_states(names, elsewhere, {}, /*on_host=*/true);
  for (const auto& [name, state] : optimizer_->states()) {
    EXPECT_TRUE(state.step.is_meta()) << name;
    for (std::size_t i = 0; i < state.slots.size(); ++i) {
      at::Tensor(state.slots[i]).copy_(expected_.at(name)[i]);
    }
  }
  expect_all_bits();
  FrozenState frozen(FrozenStatePlace::kHost, folder_.path());
  AsideMoves moves = enter(frozen, "head");
  EXPECT_EQ(moves.put_aside, bytes("stem") + bytes("middle"));
  EXPECT_EQ(moves.brought_back, bytes("head"));
  for (const auto& [name, slots] : expected_) {
    const std::vector<at::Tensor>& now = optimizer_->states().at(name).slots;
    ASSERT_EQ(now.size(), slots.size()) << name;
    for (std::size_t i = 0; i < slots.size(); ++i) {
      EXPECT_EQ(now[i].is_meta(), name.starts_with("head.")) << name;
      EXPECT_TRUE(now[i].is_meta() || now[i].equal(slots[i])) << name;
    }
  }
  moves = frozen.enter_stage(*optimizer_, parameters_, {names.begin(), names.end()}, *alone_);
  EXPECT_EQ(moves.put_aside, 0);
  EXPECT_EQ(moves.brought_back, bytes("stem") + bytes("middle"));
  for (const auto& [name, state] : optimizer_->states()) {
    for (const at::Tensor& slot : state.slots) EXPECT_TRUE(slot.is_meta()) << name;
  }
}

TEST_F(StateOfFrozenLayers, MayBeForgottenMeanwhile) {
  FrozenState frozen(FrozenStatePlace::kDisk, folder_.path());
  enter(frozen, "head");
  optimizer_->forget_unless([](const std::string& name) { return !name.starts_with("stem"); });
  EXPECT_EQ(enter(frozen, "stem").brought_back, 0);
  EXPECT_EQ(enter(frozen, "middle").brought_back, bytes("middle"));
}

TEST_F(StateOfFrozenLayers, ABitThatFlipsMeanwhileIsNamed) {
  FrozenState frozen(FrozenStatePlace::kDisk, folder_.path());
  enter(frozen, "head");
  ParameterState other = optimizer_->states().at("stem.bias");
  other.slots[1] = other.slots[1].clone();
  static_cast<char*>(other.slots[1].mutable_data_ptr())[2] ^= 8;
  optimizer_->replace_state("stem.bias", other);
  enter(frozen, "middle");
  try {
    enter(frozen, "stem");
    FAIL() << "not found";
  } catch (const DisagreementError& error) {
    EXPECT_THAT(error.what(), HasSubstr("second moment of stem.bias"));
    EXPECT_THAT(error.what(), HasSubstr("on disk"));
  }
}

/// How a process of its own ends that expects `action` to fail by saying `what`: 0 where it does.
int end_of(const std::function<void()>& action, const std::string& what) {
  const pid_t child = ::fork();
  if (child == 0) {
    std::signal(SIGXFSZ, SIG_IGN);
    const rlimit limit{64, 64};  // bytes of a file
    ::setrlimit(RLIMIT_FSIZE, &limit);
    try {
      action();
    } catch (const RunError& error) {
      ::_exit(std::string(error.what()).find(what) != std::string::npos ? 0 : 1);
    }
    ::_exit(2);
  }
  int status = 0;
  EXPECT_EQ(::waitpid(child, &status, 0), child);
  return status;
}

TEST_F(StateOfFrozenLayers, AFullDiskIsSaid) {
  FrozenState frozen(FrozenStatePlace::kDisk, folder_.path());
  EXPECT_EQ(
      end_of([&] { enter(frozen, "head"); }, "free space there, or set distributed.frozen-state"),
      0);
  EXPECT_EQ(files(), 0U);
  expect_all_bits();
  FrozenState nowhere(FrozenStatePlace::kDisk, folder_ / "gone");
  try {
    enter(nowhere, "head");
    FAIL() << "no error";
  } catch (const RunError& error) {
    EXPECT_THAT(error.what(), HasSubstr(folder_ / "gone"));
  }
}

}  // namespace
}  // namespace thaw
