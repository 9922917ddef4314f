#include <gtest/gtest.h>
#include <torch/optim/sgd.h>

#include "dist/communicator/in_process/in_process.h"
#include "dist/reduction/bucket_reducer.h"
#include "tests/dist/communicator/communicator_contract.h"
#include "tests/dist/reduction/small_network.h"

namespace thaw {
namespace {

using testing_network::reduce_step;
using testing_network::Samples;
using testing_network::SmallNetwork;

// LibTorch's own optimizers detach and zero `.grad`, which throws on views; ours are none.
TEST(BucketReducer, WorksWithOptimizersHoweverTheyZero) {
  for (const bool set_to_none : {true, false}) {
    for (const bool zeroes_before_step : {true, false}) {
      run_ranks(2, [&](Communicator& communicator) {
        const Samples samples(5, at::kDouble);
        SmallNetwork network, expected;
        network.activate(0, 6);
        expected.activate(0, 6);
        const auto reducer = make_bucket_reducer(communicator, network.active, network.frozen, {});
        std::vector<at::Tensor> tensors;
        for (const NamedTensor& parameter : network.parameters) {
          tensors.push_back(parameter.tensor);
        }
        torch::optim::SGD optimizer(tensors, torch::optim::SGDOptions(0.1));
        for (int step = 0; step < 4; ++step) {
          if (zeroes_before_step) optimizer.zero_grad(set_to_none);
          reduce_step(*reducer, network, samples, {5, communicator.rank(), 2}, 2);
          optimizer.step();
          if (!zeroes_before_step) optimizer.zero_grad(set_to_none);

          for (NamedTensor& parameter : expected.parameters) {
            parameter.tensor.mutable_grad().reset();
          }
          testing_network::loss_of(expected, samples, 0, 5, 5).backward();
          expected.descend(0.1);
        }
        for (std::size_t i = 0; i < 6; ++i) {
          EXPECT_LE(testing_network::relative_difference(network.parameters[i].tensor,
                                                         expected.parameters[i].tensor),
                    1e-12);
        }
      });
    }
  }
}

}  // namespace
}  // namespace thaw
