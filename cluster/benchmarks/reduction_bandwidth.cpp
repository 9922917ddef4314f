// The reducer beside bare MPI_Allreduce calls on the same bytes, in the same buckets:
//
//   mpirun -n 2 build/cluster/benchmarks/reduction_bandwidth [MiB ...]
//
// `reducer`: from the end of backward to gradients that are the mean (overlap off, so that nothing
// is hidden). `bare`: one MPI_Allreduce a bucket, blocking, on memory of its own.
#include <ATen/ops/full.h>
#include <ATen/ops/mul.h>
#include <fmt/format.h>
#include <mpi.h>

#include <algorithm>
#include <cstdlib>
#include <string>
#include <vector>

#include "core/base/numbers.h"
#include "core/base/stopwatch.h"
#include "core/base/system.h"
#include "dist/communicator/mpi/mpi_session.h"
#include "dist/reduction/bucket_reducer.h"

namespace thaw {
namespace {

constexpr int kRounds = 41;
constexpr std::int64_t kElements = 384 * 1536;  // a matrix of MiniLM: 2.25 MiB

struct Parameters {
  explicit Parameters(double mebibytes) {
    auto left = static_cast<std::int64_t>(mebibytes * (1 << 20) / 4);
    while (left > 0) {
      const std::int64_t elements = std::min(left, kElements);
      const at::Tensor tensor = at::full({elements}, 0.5).set_requires_grad(true);
      active.push_back({fmt::format("p{}", active.size()), tensor});
      left -= elements;
    }
  }
  void backward() const {
    for (const NamedTensor& parameter : active) parameter.tensor.mul(2).sum().backward();
  }
  std::vector<NamedTensor> active;
};

void measure(double mebibytes, Communicator& world) {
  const Parameters parameters(mebibytes);
  const auto communicator = world.split(0);
  ReducerOptions options;
  options.overlap = Overlap::kOff;
  const auto reducer = make_bucket_reducer(*communicator, parameters.active, {}, options);
  const ReductionCounters counters = reducer->counters();
  const std::int64_t bytes = counters.payload_bytes + counters.padding_bytes;
  const auto piece = static_cast<int>(bytes / counters.collectives / 4);
  std::vector<std::vector<float>> buckets(static_cast<std::size_t>(counters.collectives));
  for (auto& bucket : buckets) bucket.assign(static_cast<std::size_t>(piece), 0.5F);

  std::vector<double> by_reducer, bare;
  for (int round = 0; round < kRounds; ++round) {
    reducer->begin({1, world.size()});
    parameters.backward();
    world.barrier();
    Stopwatch watch;
    reducer->finish();
    by_reducer.push_back(watch.lap());
    world.barrier();
    watch.lap();
    for (auto& bucket : buckets) {
      MPI_Allreduce(MPI_IN_PLACE, bucket.data(), piece, MPI_FLOAT, MPI_SUM, MPI_COMM_WORLD);
    }
    bare.push_back(watch.lap());
  }
  if (world.rank() == 0) {
    const double mine = median(by_reducer), theirs = median(bare);
    fmt::print("| {:5.1f} | {:7} | {:10.2f} | {:7.2f} | {:17.2f} |\n", mebibytes,
               counters.collectives, 1e3 * mine, 1e3 * theirs, theirs / mine);
  }
}

}  // namespace
}  // namespace thaw

int main(int count, char** values) {
  thaw::keep_freed_memory();
  return thaw::MpiSession::run([&](thaw::Communicator& world) {
    std::vector<double> sizes;
    for (int i = 1; i < count; ++i) sizes.push_back(std::atof(values[i]));
    if (sizes.empty()) sizes = {0.1, 1, 4, 13.6, 27, 40.7, 86.6};
    if (world.rank() == 0) {
      fmt::print(
          "{} ranks, medians of {} rounds\n\n"
          "|   MiB | buckets | reducer ms | bare ms | bandwidth reached |\n"
          "| ----: | ------: | ---------: | ------: | ----------------: |\n",
          world.size(), thaw::kRounds);
    }
    for (const double size : sizes) thaw::measure(size, world);
    return thaw::ExitStatus::kDone;
  });
}
