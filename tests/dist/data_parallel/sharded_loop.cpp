// Twenty steps of AdamW with its state shared out, for zero_redundancy_test.py, which makes the
// same with PyTorch. Rank 0 writes all parameters, doubles one after another, to the file that the
// argument names, and prints the bytes of state on each rank.

#include <torch/nn/modules/activation.h>
#include <torch/nn/modules/container/sequential.h>
#include <torch/nn/modules/linear.h>

#include <fstream>
#include <iostream>
#include <string>

#include "core/parallel/communicator.h"
#include "dist/communicator/mpi/mpi_session.h"
#include "dist/data_parallel/data_parallel.h"
#include "dist/data_parallel/sharded_optimizer.h"

namespace thaw {
namespace {

constexpr int kSteps = 20, kRows = 4, kInputs = 7;  // rows: of a rank

/// As make_net of the Python side.
torch::nn::Sequential make_net() {
  torch::nn::Sequential net(torch::nn::Linear(kInputs, 400), torch::nn::Tanh(),
                            torch::nn::Linear(400, 331), torch::nn::Tanh(),
                            torch::nn::Linear(331, 3));
  net->to(at::kDouble);
  const c10::AutoGradMode no_grad(false);
  for (at::Tensor& parameter : net->parameters()) {
    parameter.copy_(
        torch::arange(parameter.numel(), at::kDouble).mul(0.37).sin().mul(0.1).view_as(parameter));
  }
  return net;
}

at::Tensor inputs(int step, const Communicator& world) {
  const int all = kRows * world.size(), first = kRows * world.rank();
  return torch::arange(all * kInputs, at::kDouble)
      .add(step)
      .mul(0.61)
      .cos()
      .view({all, kInputs})
      .slice(0, first, first + kRows);
}

std::size_t state_bytes(torch::optim::AdamW& optimizer) {
  std::size_t bytes = 0;
  for (const auto& [key, state] : optimizer.state()) {
    const auto& moments = static_cast<const torch::optim::AdamWParamState&>(*state);
    bytes += moments.exp_avg().nbytes() + moments.exp_avg_sq().nbytes();
  }
  return bytes;
}

ExitStatus train(const std::string& path, Communicator& world) {
  torch::nn::Sequential net = make_net();
  DataParallel parallel(world, net);
  ShardedOptimizer<torch::optim::AdamW> optimizer(
      world, net->parameters(), torch::optim::AdamWOptions(1e-3).weight_decay(0.1));
  for (int step = 0; step < kSteps; ++step) {
    optimizer.zero_grad();
    parallel.forward(inputs(step, world)).square().mean().backward();
    optimizer.step();
  }
  const auto bytes = world.all_gather(std::to_string(state_bytes(optimizer.local())));
  if (world.rank() > 0) return ExitStatus::kDone;
  std::ofstream file(path, std::ios::binary);
  for (const at::Tensor& parameter : net->parameters()) {
    file.write(static_cast<const char*>(parameter.const_data_ptr()),
               static_cast<std::streamsize>(parameter.nbytes()));
  }
  for (const std::string& of_rank : bytes) std::cout << of_rank << '\n';
  return file ? ExitStatus::kDone : ExitStatus::kFailed;
}

}  // namespace
}  // namespace thaw

int main(int count, char** arguments) {
  if (count != 2) return 2;
  return thaw::MpiSession::run(
      [&](thaw::Communicator& world) { return thaw::train(arguments[1], world); });
}
