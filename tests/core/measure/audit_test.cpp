#include "core/measure/audit.h"

#include <ATen/ops/ones_like.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>

#include "core/base/error.h"
#include "core/config/configuration.h"
#include "core/measure/audit_verdict.h"
#include "core/models/layers/batch_norm.h"
#include "core/step/optimizers/registry.h"
#include "core/step/parameter_table.h"
#include "dist/communicator/in_process/in_process.h"
#include "tests/core/train/tiny_model.h"

namespace thaw {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using Kind = AuditFinding::Kind;

AuditEntry entry(std::uint64_t value, bool changed = false) { return {{value, 0}, changed}; }

using Table = std::vector<std::vector<AuditEntry>>;

TEST(AuditVerdict, FindsNothingWhereAllAgree) {
  EXPECT_THAT(find_guilty(Table{{entry(1), entry(2)}, {entry(1), entry(2)}}), IsEmpty());
}

TEST(AuditVerdict, TheMajorityDecidesFromThreeRanksOn) {
  const Table table{{entry(1), entry(2)}, {entry(1), entry(7)}, {entry(1), entry(2)}};
  EXPECT_THAT(find_guilty(table), ElementsAre(AuditFinding{1, Kind::kOutvoted, {1}}));
  const Table two_of_five{{entry(1)}, {entry(8)}, {entry(1)}, {entry(9)}, {entry(1)}};
  EXPECT_THAT(find_guilty(two_of_five), ElementsAre(AuditFinding{0, Kind::kOutvoted, {1, 3}}));
}

TEST(AuditVerdict, WithoutMajorityAllAreNamed) {
  EXPECT_THAT(find_guilty(Table{{entry(1)}, {entry(2)}}),
              ElementsAre(AuditFinding{0, Kind::kUndecided, {0, 1}}));
  EXPECT_THAT(find_guilty(Table{{entry(1)}, {entry(2)}, {entry(1)}, {entry(2)}}),
              ElementsAre(AuditFinding{0, Kind::kUndecided, {0, 1, 2, 3}}));
}

TEST(AuditVerdict, ARanksOwnHashDecidesBeforeAnyVote) {
  EXPECT_THAT(find_guilty(Table{{entry(1)}, {entry(2, true)}}),
              ElementsAre(AuditFinding{0, Kind::kChanged, {1}}));
  // Two of three changed alike, as a bug in common code would do it.
  EXPECT_THAT(find_guilty(Table{{entry(2, true)}, {entry(1)}, {entry(2, true)}}),
              ElementsAre(AuditFinding{0, Kind::kChanged, {0, 2}}));
  EXPECT_THAT(find_guilty(Table{{entry(2, true)}, {entry(2, true)}}),
              ElementsAre(AuditFinding{0, Kind::kChanged, {0, 1}}));
}

TEST(AuditVerdict, TravelsAndIsDescribed) {
  const std::vector<AuditEntry> row{{{1, 2}, true}, {{3, 4}, false}};
  EXPECT_EQ(decode_audit_row(encode(row)), row);
  const std::vector<AuditFinding> findings{
      {0, Kind::kChanged, {1}}, {1, Kind::kOutvoted, {2, 3}}, {0, Kind::kUndecided, {0, 1}}};
  const std::vector<std::string> names{"weight a", "weight b"};
  EXPECT_THAT(describe(findings, names),
              AllOf(HasSubstr("weight a: changed on rank 1, though"),
                    HasSubstr("weight b: ranks 2, 3 differ from the others"),
                    HasSubstr("weight a: ranks 0, 1 differ; which")));
  EXPECT_THAT(describe(findings, names, 1),
              AllOf(Not(HasSubstr("weight b")), HasSubstr("and 2 more")));
}

/// Flips one bit of an element.
void flip(const at::Tensor& tensor, std::int64_t element = 0) {
  static_cast<char*>(tensor.mutable_data_ptr())[element * tensor.element_size()] ^= 0x10;
}

/// A model with its head active, as after some steps: what a rank of a job holds.
struct Rank {
  explicit Rank(Communicator& communicator, bool synchronized = true)
      : frozen_norm(model.layer(0).register_module("norm", std::make_shared<nn::BatchNorm2d>(4))),
        norm(model.layer(2).register_module("norm", std::make_shared<nn::BatchNorm2d>(4))),
        counter(model.layer(2).register_buffer("counter", at::zeros({4}))),
        norms(model),
        parameters(model, false),
        optimizer(make_optimizer({.optimizer = OptimizerKind::kAdamW})),
        audit(model, parameters, *optimizer, communicator,
              {.batch_norms = synchronized ? &norms : nullptr}) {
    enter({"stem"});  // so that frozen parameters have state too
    enter({"head"});
  }

  void enter(const std::set<std::string>& groups) {
    audit.check("the stage before");
    std::set<std::string> active;
    OptimizerClass everything{0.1, 0.01, {}, {}};
    for (std::size_t i = 0; i < parameters.size(); ++i) {
      const std::string& name = parameters.facts()[i].name;
      if (!groups.contains(name.substr(0, name.find('.')))) continue;
      active.insert(name);
      everything.names.push_back(name);
      everything.parameters.push_back(parameters.tensors()[i]);
    }
    optimizer->enter_stage({everything}, {});
    audit.enter_stage(active);
    for (const at::Tensor& tensor : everything.parameters) {
      tensor.mutable_grad() = at::ones_like(tensor);
    }
    optimizer->step(1, 1);
  }

  TinyModel model;
  std::shared_ptr<nn::BatchNorm2d> frozen_norm, norm;
  at::Tensor counter;  ///< somebody's own, which may differ
  BatchNorms norms;
  ParameterTable parameters;
  std::unique_ptr<Optimizer> optimizer;
  Audit audit;
};

/// What the audit says on all ranks when `damage` has been done on rank 1 alone.
std::string verdict(int ranks, const std::function<void(Rank&)>& damage) {
  std::string message;
  try {
    run_ranks(ranks, [&](Communicator& communicator) {
      Rank rank(communicator);
      rank.audit.check("step 1");
      if (communicator.rank() == 1) damage(rank);
      try {
        rank.audit.check("step 2");
        ADD_FAILURE() << "not found on rank " << communicator.rank();
      } catch (const DisagreementError& error) {
        EXPECT_TRUE(error.agreed());
        const std::vector<std::string> all = communicator.all_gather(error.what());
        for (const std::string& other : all) EXPECT_EQ(other, error.what());
        if (communicator.rank() == 0) message = error.what();
      }
    });
  } catch (const std::exception& error) {
    ADD_FAILURE() << error.what();
  }
  return message;
}

TEST(Audit, PassesWhatIsEqualWhileTheActiveChanges) {
  run_ranks(3, [](Communicator& communicator) {
    Rank rank(communicator);
    rank.audit.check("step 1");
    rank.optimizer->step(1, 1);
    rank.audit.check("step 2");
    rank.enter({"middle", "head"});
    rank.audit.check("step 3");
    EXPECT_GT(rank.audit.bytes(), 0);
    EXPECT_GT(rank.audit.tensors(), rank.parameters.size());
  });
}

TEST(Audit, FindsABitInAnActiveWeight) {
  const auto damage = [](Rank& rank) { flip(rank.model.layer(2).weight, 5); };
  EXPECT_THAT(verdict(3, damage),
              AllOf(HasSubstr("audit after step 2"),
                    HasSubstr("weight head.weight: rank 1 differs from the others"),
                    Not(HasSubstr("head.bias"))));
  EXPECT_THAT(verdict(2, damage),
              HasSubstr("weight head.weight: ranks 0, 1 differ; which of them is wrong cannot"));
}

TEST(Audit, FindsABitInAFrozenWeightAndItsRankAlsoOfTwo) {
  const auto damage = [](Rank& rank) { flip(rank.model.layer(1).bias, 2); };
  for (const int ranks : {2, 3}) {
    EXPECT_THAT(verdict(ranks, damage), HasSubstr("weight middle.bias: changed on rank 1, though"));
  }
}

TEST(Audit, FindsABitInOptimizerState) {
  EXPECT_THAT(
      verdict(3, [](Rank& rank) { flip(rank.optimizer->states().at("head.bias").slots[0]); }),
      HasSubstr("first moment of head.bias: rank 1 differs"));
  EXPECT_THAT(
      verdict(2, [](Rank& rank) { flip(rank.optimizer->states().at("stem.weight").slots[1]); }),
      HasSubstr("second moment of stem.weight: changed on rank 1"));
  EXPECT_THAT(verdict(3, [](Rank& rank) { flip(rank.optimizer->states().at("head.bias").step); }),
              HasSubstr("step count of head.bias: rank 1 differs"));
}

TEST(Audit, FindsABitInABuffer) {
  EXPECT_THAT(verdict(3, [](Rank& rank) { flip(rank.norm->running_var, 3); }),
              HasSubstr("buffer head.norm.running_var: rank 1 differs"));
  EXPECT_THAT(verdict(2, [](Rank& rank) { flip(rank.frozen_norm->running_mean, 1); }),
              HasSubstr("buffer stem.norm.running_mean: changed on rank 1"));
}

TEST(Audit, FindsFrozenWeightsThatChangeOnAllRanksAlike) {
  run_ranks(2, [](Communicator& communicator) {
    Rank rank(communicator);
    flip(rank.model.layer(0).weight);
    EXPECT_THROW(rank.audit.check("step 1"), DisagreementError);
  });
}

TEST(Audit, LeavesAloneWhatMayDiffer) {
  run_ranks(2, [](Communicator& communicator) {
    Rank rank(communicator, /*synchronized=*/false);
    if (communicator.rank() == 1) flip(rank.norm->running_mean);
    EXPECT_NO_THROW(rank.audit.check("step 1"));
    Rank other(communicator);
    if (communicator.rank() == 1) flip(other.counter);
    EXPECT_NO_THROW(other.audit.check("step 1"));
  });
}

}  // namespace
}  // namespace thaw
