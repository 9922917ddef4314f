// A loop of somebody's own on GPUs, thaw::DataParallel over NCCL, for own_loop_test.py. Its
// argument is the way in which the loop ends its steps, or what it asks of DataParallel beside
// that. What is computed on the null GPU means nothing; that it comes to its end, in order, does.

#include <thaw/data_parallel.h>
#include <thaw/gpu.h>
#include <torch/torch.h>

#include <cstdio>
#include <functional>
#include <map>
#include <string>
#include <vector>

namespace {

/// Of texts: a table of words, of which few rows are touched, and what an own network has besides.
struct NetImpl : torch::nn::Module {
  NetImpl() {
    using namespace torch::nn;  // NOLINT(google-build-using-namespace)
    words = register_module("words", Embedding(1000, 16));
    hidden =
        register_module("hidden", Sequential(Linear(16, 32), BatchNorm1d(32), GELU(), Dropout(0.1),
                                             Linear(32, 32), LayerNorm(LayerNormOptions({32}))));
    head = register_module("head", Linear(32, 3));
  }
  torch::Tensor forward(const torch::Tensor& tokens) {
    return head(hidden->forward(words(tokens).mean(1)));
  }
  torch::nn::Embedding words{nullptr};
  torch::nn::Sequential hidden;
  torch::nn::Linear head{nullptr};
};
TORCH_MODULE(Net);

constexpr std::int64_t kBatch = 8;  ///< samples of a rank in a step
constexpr int kSteps = 3;           ///< of an active set

/// One rank's part in everything.
struct Loop {
  Loop(thaw::Communicator& ranks, torch::Device gpu, const thaw::ReducerOptions& options)
      : world(ranks),
        device(gpu),
        parallel(world, moved(), options),
        optimizer(net->parameters(), torch::optim::AdamWOptions(1e-3)) {}

  /// The module, on the GPU before it is wrapped.
  Net& moved() {
    net->to(device);
    return net;
  }
  torch::Tensor tokens(std::int64_t samples) const {
    return torch::randint(0, 1000, {samples, 12}, torch::kLong).to(device);
  }
  torch::Tensor labels(std::int64_t samples) const {
    return torch::arange(samples, torch::kLong).remainder(3).to(device);
  }
  torch::Tensor loss(const torch::Tensor& outputs) const {
    return torch::cross_entropy_loss(outputs, labels(outputs.size(0)));
  }
  void update() {
    optimizer.step();
    optimizer.zero_grad();
  }

  /// `step`, a few times in each of three active sets, the last with layers frozen again.
  void stages(const std::function<void()>& step) {
    const std::vector<std::vector<std::string>> sets = {{"head"}, {"*"}, {"hidden.4", "head"}};
    for (const auto& active : sets) {
      parallel.activate(active);
      for (int i = 0; i < kSteps; ++i) {
        step();
        update();
      }
    }
  }

  thaw::Communicator& world;
  torch::Device device;
  Net net;
  thaw::DataParallel parallel;
  torch::optim::AdamW optimizer;
};

void forward_ends(Loop& loop) {
  loop.stages([&] { loop.loss(loop.parallel.forward(loop.tokens(kBatch))).backward(); });
}

void finish_ends(Loop& loop) {
  loop.stages([&] {
    // The last rank's share is smaller, and now and then empty.
    static int step = 0;
    const bool last = loop.world.rank() + 1 == loop.world.size() && loop.world.size() > 1;
    const std::int64_t share = !last ? kBatch : ++step % 3 == 0 ? 0 : kBatch / 2;
    if (share > 0) loop.loss(loop.net->forward(loop.tokens(share))).backward();
    loop.parallel.finish(share);
  });
}

void micro_batches(Loop& loop) {
  loop.stages([&] {
    {
      const auto scope = loop.parallel.accumulate();
      loop.loss(loop.parallel.forward(loop.tokens(kBatch))).div(2).backward();
    }
    loop.loss(loop.parallel.forward(loop.tokens(kBatch))).div(2).backward();
  });
}

void skips(Loop& loop) {
  loop.stages([&] {
    if (loop.world.rank() > 0) {
      loop.parallel.skip();
    } else {
      loop.loss(loop.parallel.forward(loop.tokens(kBatch))).backward();
    }
  });
}

void joins(Loop& loop) {
  for (int step = 0; step < kSteps + loop.world.rank(); ++step) {
    loop.loss(loop.parallel.forward(loop.tokens(kBatch))).backward();
    loop.update();
  }
  loop.parallel.join([&] { loop.update(); });
}

void clips(Loop& loop) {
  loop.stages([&] {
    loop.loss(loop.parallel.forward(loop.tokens(kBatch))).backward();
    torch::nn::utils::clip_grad_norm_(loop.parallel.active_parameters(), 1.0);
  });
}

void loads(Loop& loop) {
  loop.stages([&] { loop.loss(loop.parallel.forward(loop.tokens(kBatch))).backward(); });
  thaw::DataParallelState state = loop.parallel.state();
  for (auto& [name, tensor] : state.tensors) tensor = tensor.detach().clone();
  loop.parallel.load(state);
  loop.parallel.broadcast_buffers();
  forward_ends(loop);
}

/// A layer that a rank may leave out, above normalisations.
struct BranchedImpl : torch::nn::Module {
  BranchedImpl() {
    using namespace torch::nn;  // NOLINT(google-build-using-namespace)
    trunk = register_module("trunk", Sequential(Linear(16, 32), BatchNorm1d(32), GELU(),
                                                Linear(32, 32), BatchNorm1d(32)));
    branch = register_module("branch", Linear(32, 32));
    head = register_module("head", Linear(32, 3));
  }
  torch::Tensor forward(const torch::Tensor& input, bool branches) {
    const torch::Tensor x = trunk->forward(input);
    return head(branches ? x + branch(x) : x);
  }
  torch::nn::Sequential trunk;
  torch::nn::Linear branch{nullptr}, head{nullptr};
};
TORCH_MODULE(Branched);

// The first rank's bucket of the branch would leave before the sums of the normalisations'
// backward, the others' behind them: in one order on all ranks, or they wait for each other for
// ever.
void leaves_out(Loop& loop) {
  Branched net;
  net->to(loop.device);
  const thaw::SynchronizedBatchNorms norms(loop.world, *net);
  thaw::DataParallel parallel(loop.world, net,
                              {.buckets = {.cap_bytes = 4096, .first_cap_bytes = 1024},
                               .overlap = thaw::Overlap::kOn,
                               .unused = thaw::Unused::kAllow,
                               .loop = {.deadline = 0}});  // `loop` has a watch
  torch::optim::AdamW optimizer(net->parameters(), torch::optim::AdamWOptions(1e-3));
  for (int step = 0; step < kSteps; ++step) {
    optimizer.zero_grad();
    const torch::Tensor input = torch::randn({kBatch, 16}).to(loop.device);
    loop.loss(parallel.forward(input, loop.world.rank() == 0)).backward();
    optimizer.step();
  }
}

struct Way {
  void (*run)(Loop&);
  thaw::ReducerOptions options = {};
};

const std::map<std::string, Way>& ways() {
  using thaw::Overlap;
  static const thaw::BucketOptions small{.cap_bytes = 4096, .first_cap_bytes = 1024};
  static const std::map<std::string, Way> all = {
      {"forward", {forward_ends}},
      {"finish", {finish_ends}},
      {"micro-batches", {micro_batches}},
      {"skip", {skips}},
      {"join", {joins}},
      {"clip", {clips}},
      {"left-out", {leaves_out}},
      {"load", {loads}},
      {"small-buckets", {forward_ends, {.buckets = small, .overlap = Overlap::kOn}}},
      {"no-overlap", {forward_ends, {.buckets = small, .overlap = Overlap::kOff}}},
      {"rounded", {forward_ends, {.hook = thaw::make_rounding_hook()}}},
      {"buffers", {forward_ends, {.loop = {.broadcast_buffers = true}}}},
  };
  return all;
}

thaw::ExitStatus train(thaw::Communicator& host, const Way& way) {
  const thaw::HostTopology topology = thaw::discover_topology(host);
  const int gpu =
      thaw::agreed_gpu(host, topology, thaw::DeviceChoice::kCuda, thaw::gpu_supply()).value();
  const torch::Device device(torch::kCUDA, static_cast<torch::DeviceIndex>(gpu));
  const c10::DeviceGuard guard(device);
  const auto world = thaw::make_gpu_communicator(host, topology, gpu);
  torch::manual_seed(world->rank());
  Loop loop(*world, device, way.options);
  way.run(loop);
  return thaw::ExitStatus::kDone;
}

}  // namespace

int main(int count, char** arguments) {
  const auto way = ways().find(count == 2 ? arguments[1] : "");
  if (way == ways().end()) {
    for (const auto& [name, _] : ways()) std::printf("%s\n", name.c_str());
    return 2;
  }
  return thaw::MpiSession::run([&](thaw::Communicator& host) { return train(host, way->second); });
}
