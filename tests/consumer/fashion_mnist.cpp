// Trains a small convolutional network on Fashion-MNIST by gradual unfreezing, on as many ranks as
// mpirun starts, in one of two ways:
//
//   mpirun -n 2 fashion_mnist own-loop FOLDER     thaw::DataParallel in a loop of our own
//   mpirun -n 2 fashion_mnist trainer FOLDER      thaw::Trainer for the whole job
//
// FOLDER holds the data set's IDX files. Ends with 0 where all ranks hold the same weights and
// these classify well enough.

#include <thaw/thaw.h>
#include <torch/torch.h>

#include <cstdio>
#include <string>

#include "idx_file.h"

namespace {

struct NetImpl : torch::nn::Module {
  NetImpl() {
    using namespace torch::nn;  // NOLINT(google-build-using-namespace)
    features =
        register_module("features", Sequential(Conv2d(1, 8, 5), ReLU(), MaxPool2d(2),
                                               Conv2d(8, 16, 3), ReLU(), MaxPool2d(2), Flatten()));
    hidden = register_module("hidden", Linear(16 * 5 * 5, 64));
    head = register_module("head", Linear(64, 10));
  }
  torch::Tensor forward(const torch::Tensor& images) {
    return head(torch::relu(hidden(features->forward(images))));
  }
  torch::nn::Sequential features;
  torch::nn::Linear hidden{nullptr}, head{nullptr};
};
TORCH_MODULE(Net);

struct Samples {
  Samples(const std::string& folder, const std::string& name, std::int64_t most) {
    pixels = read(folder + "/" + name + "-images-idx3-ubyte.gz", most).unsqueeze(1);
    labels = read(folder + "/" + name + "-labels-idx1-ubyte.gz", most).to(torch::kLong);
  }
  static torch::Tensor read(const std::string& path, std::int64_t most) {
    const IdxFile idx = read_idx(path, most);
    return torch::from_blob(const_cast<std::uint8_t*>(idx.bytes.data()), idx.shape, torch::kByte)
        .clone();
  }
  torch::Tensor images(std::int64_t first, std::int64_t last) const {
    return (pixels.slice(0, first, last).to(torch::kFloat) / 255 - 0.286) / 0.353;
  }
  std::int64_t size() const { return labels.size(0); }

  torch::Tensor pixels;  ///< uint8 [N, 1, 28, 28]
  torch::Tensor labels;  ///< int64 [N]
};

constexpr std::int64_t kBatch = 100;  ///< samples of a step, over all ranks

/// A loop of our own: head, then the layer below it, then all.
Net own_loop(thaw::Communicator& world, const Samples& train) {
  torch::manual_seed(world.rank());  // ranks start with different weights, on purpose:
  Net net;
  thaw::DataParallel parallel(world, *net);  // gives them all those of rank 0
  torch::optim::Adam optimizer(net->parameters(), 2e-3);
  const std::vector<std::vector<std::string>> stages = {{"head"}, {"hidden", "head"}, {"*"}};
  for (const auto& active : stages) {
    parallel.activate(active);  // all ranks together, as is every finish
    for (std::int64_t first = 0; first < train.size(); first += kBatch) {
      // This rank's part of the batch, which may be empty: the last batch holds one sample.
      const std::int64_t batch = std::min(kBatch, train.size() - first);
      const std::int64_t begin = first + batch * world.rank() / world.size();
      const std::int64_t end = first + batch * (world.rank() + 1) / world.size();
      if (begin < end) {
        const auto outputs = net->forward(train.images(begin, end));
        torch::cross_entropy_loss(outputs, train.labels.slice(0, begin, end)).backward();
      }
      parallel.finish(end - begin);  // .grad is now the mean over the whole batch
      optimizer.step();
      optimizer.zero_grad();
    }
  }
  return net;
}

/// The whole job: the schedule as in a configuration file.
Net trainer(thaw::Communicator& world, const Samples& train, const Samples& test) {
  torch::manual_seed(world.rank());
  Net net;
  thaw::ModuleModel model(
      net.ptr(), {{"features", {"features.*"}}, {"hidden", {"hidden.*"}}, {"head", {"head.*"}}},
      [&](const thaw::Batch& batch) { return net->forward(batch.inputs); });
  thaw::make_replicas(world, model);
  const thaw::Dataset dataset = thaw::make_memory_dataset(
      {{"train", train.pixels, train.labels}, {"validation", test.pixels, test.labels}},
      {.mean = {0.286}, .std_deviation = {0.353}});

  const thaw::ConfigurationDocument document =
      thaw::parse_partial_configuration(R"(
      [data]
      batch = 100
      [schedule]
      preset = "top-down"
      stage-epochs = 1
      learning-rate = 2e-3
  )",
                                        "fashion_mnist.cpp");
  const thaw::Schedule schedule = thaw::resolve_schedule(document, {"features", "hidden", "head"},
                                                         dataset.split("train").size());
  const auto coordinator = thaw::make_unfreezing_coordinator(world, {});
  thaw::Trainer trainer({.model = model,
                         .dataset = dataset,
                         .schedule = schedule,
                         .data = document.configuration.data,
                         .train = document.configuration.train,
                         .communicator = world,
                         .coordinator = *coordinator,
                         .loss = [](const torch::Tensor& outputs, const thaw::Batch& batch) {
                           return torch::nll_loss(torch::log_softmax(outputs, 1), batch.labels);
                         }});
  const thaw::RunSummary summary = trainer.run();
  if (world.rank() == 0) {
    std::printf("trainer: %zu stages, validation accuracy %.3f\n", summary.stages.size(),
                summary.last_evaluation.figure("accuracy"));
  }
  return net;
}

/// On how many tensors this rank differs from rank 0.
int different_tensors(thaw::Communicator& world, const Net& net) {
  int different = 0;
  for (const torch::Tensor& parameter : net->parameters()) {
    torch::Tensor of_rank_0 = parameter.detach().clone();
    world.broadcast(of_rank_0, 0);
    different += torch::equal(of_rank_0, parameter) ? 0 : 1;
  }
  return different;
}

double accuracy(Net& net, const Samples& test) {
  const torch::NoGradGuard no_grad;
  const torch::Tensor predicted = net->forward(test.images(0, test.size())).argmax(1);
  return predicted.eq(test.labels).to(torch::kDouble).mean().item<double>();
}

thaw::ExitStatus run(thaw::Communicator& world, const std::string& way, const std::string& folder) {
  const Samples train(folder, "train", 6001);
  const Samples test(folder, "t10k", 2000);
  Net net = way == "own-loop" ? own_loop(world, train) : trainer(world, train, test);

  std::vector<double> sums = {static_cast<double>(different_tensors(world, net))};
  world.all_reduce(sums);
  const double share = accuracy(net, test);
  if (world.rank() == 0) {
    std::printf("%s on %d ranks: accuracy %.3f, tensors that differ between ranks: %.0f\n",
                way.c_str(), world.size(), share, sums[0]);
  }
  return sums[0] == 0 && share > 0.65 ? thaw::ExitStatus::kDone : thaw::ExitStatus::kFailed;
}

}  // namespace

int main(int count, char** arguments) {
  const std::string way = count == 3 ? arguments[1] : "";
  if (way != "own-loop" && way != "trainer") {
    std::fprintf(stderr, "usage: fashion_mnist own-loop|trainer FOLDER\n");
    return 2;
  }
  return thaw::MpiSession::run(
      [&](thaw::Communicator& world) { return run(world, way, arguments[2]); });
}
