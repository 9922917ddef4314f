// What would let the ranks part without a word is refused, in words; what a program does to its
// gradients before `finish` counts.
#include <ATen/ops/embedding.h>
#include <ATen/ops/mse_loss.h>
#include <ATen/ops/zeros.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/nn/utils/clip_grad.h>
#include <torch/optim/sgd.h>

#include "dist/communicator/in_process/in_process.h"
#include "tests/core/parallel/agreed_errors.h"
#include "tests/dist/data_parallel/loop_module.h"
#include "tests/support/loop_replica.h"

namespace thaw {
namespace {

using ::testing::AllOf;
using ::testing::AnyOf;
using ::testing::Contains;
using ::testing::Each;
using ::testing::HasSubstr;
using namespace testing_network;  // NOLINT(google-build-using-namespace)

/// One parameter of each rank: its gradient is 1, on the last rank 5, with 1 and 3 samples.
struct TwoWeights {
  at::Tensor w = at::ones({1}, at::kDouble).set_requires_grad(true);
  at::Tensor v = at::ones({1}, at::kDouble).set_requires_grad(true);
  std::vector<NamedTensor> named() const { return {{"w", w}, {"v", v}}; }
  static bool last(const Communicator& c) { return c.rank() == c.size() - 1; }
  static std::int64_t samples(const Communicator& c) { return last(c) ? 3 : 1; }
  at::Tensor loss(const Communicator& c) const { return ((w + v) * (last(c) ? 5 : 1)).sum(); }
  static double mean(const Communicator& c) {
    return c.size() == 1 ? 5 : (c.size() - 1 + 15.0) / (c.size() + 2);
  }
};

using Change = std::function<void(at::Tensor& grad, const Communicator&)>;
struct Changed {
  const char* name;
  Change change;
  double of_mean;  ///< what the mean becomes; < 0: no gradient
};

class ChangedGradients : public ::testing::TestWithParam<Changed> {};

INSTANTIATE_TEST_SUITE_P(
    Ways, ChangedGradients,
    ::testing::Values(
        Changed{"Clone", [](at::Tensor& g, auto&) { g = g.clone(); }, 1},
        Changed{"Mask", [](at::Tensor& g, auto&) { g = g * 0.5; }, 0.5},
        Changed{"InPlace", [](at::Tensor& g, auto&) { g.mul_(0.5); }, 0.5},
        Changed{"Clip", [](at::Tensor& g, auto&) { g.data().mul_(0.25); }, 0.25},
        Changed{"Expanded", [](at::Tensor& g, auto&) { g = at::ones({}, g.options()).expand({1}); },
                -2},
        Changed{"Sparse", [](at::Tensor& g, auto&) { g = g.to_sparse(); }, 1},
        Changed{"Reset", [](at::Tensor& g, auto&) { g.reset(); }, -1},
        Changed{"Zero", [](at::Tensor& g, auto&) { g.zero_(); }, 0}),
    [](const auto& instance) { return instance.param.name; });

TEST_P(ChangedGradients, CountAsTheyStandInFinish) {
  for (const int ranks : {1, 2, 3}) {
    for (const bool begins : {false, true}) {
      for (const Overlap overlap : {Overlap::kOff, Overlap::kOn}) {
        run_ranks(ranks, [&](Communicator& communicator) {
          TwoWeights net;
          DataParallel parallel(communicator, net.named(), {}, {{.cap_bytes = 8}, overlap});
          for (int step = 0; step < 3; ++step) {
            if (begins) parallel.begin(TwoWeights::samples(communicator));
            net.loss(communicator).backward();
            GetParam().change(net.w.mutable_grad(), communicator);
            parallel.finish(TwoWeights::samples(communicator));
            const double mean = TwoWeights::mean(communicator);
            EXPECT_NEAR(net.v.grad().item<double>(), mean, 1e-12);
            if (GetParam().of_mean == -1) {
              EXPECT_FALSE(net.w.grad().defined());
            } else {
              const double expected = GetParam().of_mean == -2 ? 1 : mean * GetParam().of_mean;
              EXPECT_NEAR(net.w.grad().item<double>(), expected, 1e-12);
            }
            net.w.mutable_grad().reset();
          }
        });
      }
    }
  }
}

TEST(Gradients, OfAutogradGradAreAveragedByFinish) {
  for (const int ranks : {1, 2}) {
    run_ranks(ranks, [](Communicator& communicator) {
      TwoWeights net;
      DataParallel parallel(communicator, net.named());
      for (int step = 0; step < 3; ++step) {
        const auto found = torch::autograd::grad({net.loss(communicator)}, {net.w, net.v});
        net.w.mutable_grad() = found[0];
        net.v.mutable_grad() = found[1];
        parallel.finish(TwoWeights::samples(communicator));
        EXPECT_NEAR(net.w.grad().item<double>(), TwoWeights::mean(communicator), 1e-12);
      }
    });
  }
}

TEST(Gradients, ThatWereDroppedInMidStepDoNotCount) {
  for (const int ranks : {1, 2}) {
    run_ranks(ranks, [](Communicator& communicator) {
      TwoWeights net;
      DataParallel parallel(communicator, net.named());
      torch::optim::SGD optimizer({net.w, net.v}, 0.1);
      (net.v * 7).sum().backward();
      optimizer.zero_grad();
      (net.w * 3).sum().backward();
      parallel.finish(2);
      EXPECT_FALSE(net.v.grad().defined());
      EXPECT_NEAR(net.w.grad().item<double>(), 3, 1e-12);
      if (communicator.size() == 1) return;
      // A rank gives its share up.
      ((net.w + net.v) * (communicator.rank() == 1 ? 100 : 1)).sum().backward();
      if (communicator.rank() == 1) optimizer.zero_grad();
      parallel.finish(communicator.rank() == 1 ? 0 : 2);
      EXPECT_NEAR(net.w.grad().item<double>(), 1, 1e-12);
    });
  }
}

TEST(Gradients, OfSparseEmbeddingsAreMadeDense) {
  for (const int ranks : {1, 2}) {
    run_ranks(ranks, [](Communicator& communicator) {
      const at::Tensor table = at::ones({10, 2}, at::kDouble).set_requires_grad(true);
      DataParallel parallel(communicator, {{"table", table}});
      const at::Tensor rows = at::full({1}, communicator.rank(), at::kLong);
      at::embedding(table, rows, -1, false, /*sparse=*/true).sum().backward();
      parallel.finish(1);
      EXPECT_EQ(table.grad().layout(), at::kStrided);
      EXPECT_NEAR(table.grad()[0][0].item<double>(), 1.0 / communicator.size(), 1e-12);
    });
  }
}

/// Errors of all ranks, agreed or each rank's own.
std::vector<std::string> errors(int ranks, const std::function<void(Communicator&)>& body) {
  std::vector<std::string> messages(static_cast<std::size_t>(ranks), "no error");
  run_ranks(ranks, [&](Communicator& communicator) {
    try {
      body(communicator);
    } catch (const Error& error) {
      messages[static_cast<std::size_t>(communicator.rank())] = error.what();
    }
    communicator.barrier();
  });
  return messages;
}

TEST(Misuse, AForgottenFinishIsNoticedAtTheNextBackward) {
  for (const int ranks : {1, 2}) {
    EXPECT_THAT(errors(ranks,
                       [](Communicator& communicator) {
                         LoopNet net;
                         DataParallel parallel(communicator, net);
                         torch::optim::SGD optimizer(net->parameters(), 0.1);
                         for (int i = 0; i < 2; ++i) {
                           optimizer.zero_grad();
                           net->forward(LoopData(4).x).square().sum().backward();
                           optimizer.step();
                         }
                       }),
                Each(AllOf(HasSubstr("not averaged over the ranks"), HasSubstr("finish"))));
  }
}

TEST(Misuse, AGraphOfWhatIsAveragedIsRefused) {
  for (const int ranks : {1, 2}) {
    std::vector<std::string> messages = errors(ranks, [](Communicator& communicator) {
      LoopNet net;
      DataParallel parallel(communicator, net);
      const at::Tensor loss = parallel.forward(LoopData(4).x).square().mean();
      loss.backward({}, /*keep_graph=*/true, /*create_graph=*/true);
    });
    EXPECT_THAT(messages, Each(AnyOf(HasSubstr("autograd::grad with create_graph"),
                                     HasSubstr("backward was left by an exception"))));
    EXPECT_THAT(messages, Contains(HasSubstr("backward with create_graph")));
  }
}

TEST(Gradients, OfGradientsCount) {
  on_replicas([](Communicator&, LoopReplica& replica) {
    const auto penalty = [](const at::Tensor& loss, const std::vector<at::Tensor>& parameters) {
      const auto found = torch::autograd::grad({loss}, parameters, {}, true, true);
      return loss + found.front().square().sum() * 0;  // its graph goes through the step
    };
    penalty(replica.loss(), replica.net->parameters()).backward();
    penalty(replica.lone_loss(), replica.alone->parameters()).backward();
    replica.expect_equal(Compare::kGradients);
  });
}

TEST(Misuse, AFinishBehindTheOptimizersStepIsRefused) {
  EXPECT_THAT(errors(2,
                     [](Communicator& communicator) {
                       LoopNet net;
                       DataParallel parallel(communicator, net);
                       torch::optim::SGD optimizer(net->parameters(), 0.1);
                       net->forward(LoopData(4).x).square().sum().backward();
                       if (communicator.rank() == 1) optimizer.step();
                       parallel.finish(2);
                     }),
              Each(AllOf(HasSubstr("on rank 1"), HasSubstr("call finish before the optimizer's"))));
}

TEST(Misuse, AFinishTooManyIsRefused) {
  for (const bool automatic : {false, true}) {
    for (const int ranks : {1, 2}) {
      EXPECT_THAT(errors(ranks,
                         [&](Communicator& communicator) {
                           LoopNet net;
                           DataParallel parallel(communicator, net);
                           const at::Tensor x = LoopData(4).x;
                           (automatic ? parallel.forward(x) : net->forward(x)).sum().backward();
                           if (!automatic) parallel.finish(4);
                           parallel.finish(4);
                         }),
                  Each(HasSubstr(automatic ? "has finished already" : "finish was called twice")));
    }
  }
}

TEST(Misuse, AFinishWithoutABackwardIsRefused) {
  EXPECT_THAT(errors(2,
                     [](Communicator& communicator) {
                       LoopNet net;
                       DataParallel parallel(communicator, net);
                       parallel.finish(4);
                     }),
              Each(HasSubstr("finish(4) without a gradient")));
}

TEST(Misuse, AGradientOfAnotherShapeIsRefused) {
  for (const int ranks : {1, 2}) {
    EXPECT_THAT(errors(ranks,
                       [](Communicator& communicator) {
                         LoopNet net;
                         DataParallel parallel(communicator, net);
                         net->forward(LoopData(4).x).sum().backward();
                         if (communicator.rank() == communicator.size() - 1) {
                           net->lower.mutable_grad() = at::ones({2, 2}, at::kDouble);
                         }
                         parallel.finish(4);
                       }),
                Each(HasSubstr("`.grad` of parameter \"lower\" is float64 [2, 2]")));
  }
}

TEST(Misuse, AModuleThatIsConvertedAfterItWasWrappedIsRefused) {
  for (const bool automatic : {false, true}) {
    for (const int ranks : {1, 2}) {
      EXPECT_THAT(errors(ranks,
                         [&](Communicator& communicator) {
                           LoopNet net;
                           DataParallel parallel(communicator, net);
                           net->to(at::kFloat);
                           const at::Tensor x = LoopData(4).x.to(at::kFloat);
                           (automatic ? parallel.forward(x) : net->forward(x)).sum().backward();
                           if (!automatic) parallel.finish(4);
                         }),
                  Each(AllOf(HasSubstr("\"lower\" was converted or moved"), HasSubstr("wrap"))));
    }
  }
}

TEST(Misuse, ActivateInMidStepIsRefused) {
  EXPECT_THAT(errors(2,
                     [](Communicator& communicator) {
                       LoopNet net;
                       DataParallel parallel(communicator, net);
                       net->forward(LoopData(4).x).sum().backward();
                       net->zero_grad();
                       parallel.activate({"*"});  // nothing to be lost
                       net->forward(LoopData(4).x).sum().backward();
                       parallel.activate({"*"});
                     }),
              Each(HasSubstr("activate: in mid-step")));
}

TEST(Misuse, ASecondWrapIsRefused) {
  EXPECT_THAT(errors(2,
                     [](Communicator& communicator) {
                       LoopNet net;
                       { const DataParallel first(communicator, net); }
                       const DataParallel second(communicator, net);
                       const DataParallel third(communicator, net);
                     }),
              Each(HasSubstr("\"lower\" is wrapped by another DataParallel")));
}

TEST(Misuse, OptionsThatDifferAreNamed) {
  const std::vector<std::function<void(ReducerOptions&)>> changes = {
      [](ReducerOptions& o) { o.overlap = Overlap::kOn; },
      [](ReducerOptions& o) { o.unused = Unused::kError; },
      [](ReducerOptions& o) { o.hook = make_bfloat16_hook(); },
      [](ReducerOptions& o) { o.loop.loss_mean = LossMean::kForward; },
      [](ReducerOptions& o) { o.loop.broadcast_buffers = true; },
      [](ReducerOptions& o) { o.loop.deadline = 0; }};
  const std::vector<std::string> names = {"overlap",           "unused",  "hook", "loss_mean",
                                          "broadcast_buffers", "deadline"};
  for (std::size_t i = 0; i < changes.size(); ++i) {
    EXPECT_THAT(errors(2,
                       [&](Communicator& communicator) {
                         LoopNet net;
                         ReducerOptions options;
                         options.overlap = Overlap::kOff;
                         if (communicator.rank() == 1) changes[i](options);
                         const DataParallel parallel(communicator, net, options);
                       }),
                Each(AllOf(HasSubstr("different options"), HasSubstr(names[i]))));
  }
}

TEST(Misuse, ABackwardBesideForwardIsNoticed) {
  EXPECT_THAT(errors(2,
                     [](Communicator& communicator) {
                       LoopNet net;
                       DataParallel parallel(communicator, net);
                       net->forward(LoopData(4).x).sum().backward();
                       parallel.forward(LoopData(4).x).sum().backward();
                     }),
              Each(HasSubstr("let every backward go through")));
}

TEST(Misuse, AForwardOfBeforeActivateIsRefused) {
  EXPECT_THAT(errors(2,
                     [](Communicator& communicator) {
                       LoopNet net;
                       DataParallel parallel(communicator, net);
                       const at::Tensor loss = parallel.forward(LoopData(4).x).sum();
                       parallel.activate({"head"});
                       loss.backward();
                     }),
              Each(HasSubstr("from before the last activate")));
}

TEST(Misuse, TrainingGoesOnAfterAnErrorThatAllCaught) {
  on_replicas([](Communicator&, LoopReplica& replica) {
    EXPECT_THROW(replica.parallel.finish(4), ReductionMismatch);
    replica.expect_right_step();
  });
}

}  // namespace
}  // namespace thaw
