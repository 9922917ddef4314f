#include "launch/simulate/forecast_job.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/base/error.h"
#include "core/train/reduction_rules.h"
#include "dist/forecast/network.h"
#include "launch/run/run_setup.h"

namespace thaw {

ForecastJob forecast_job(const Configuration& configuration, int threads) {
  const DistributedOptions& distributed = configuration.distributed;
  ForecastJob job;
  job.batch = configuration.data.batch;
  job.micro_batch = configuration.train.micro_batch;
  job.threads = threads;
  job.precision = configuration.train.precision;
  job.buckets.cap_bytes = distributed.bucket_bytes;
  job.buckets.by_rows = distributed.embedding_rows == EmbeddingRows::kAuto;
  job.overlap = distributed.overlap;
  job.wire = distributed.wire;
  job.sharding = distributed.sharding;
  job.shards = canonical_shards(configuration.train);
  return job;
}

int threads_of_rank(const RunSetup& setup, const Network& network, std::int64_t ranks) {
  const std::int64_t given = setup.configuration().train.threads;
  if (given > 0) return static_cast<int>(given);
  const std::int64_t on_host = place(network, ranks).on_host;
  return static_cast<int>(std::max<std::int64_t>(1, setup.topology.threads / on_host));
}

void check_ranks(const std::string& option, std::int64_t ranks, const ForecastJob& job) {
  if (job.shards == 0 || ranks <= job.shards) return;
  throw InputError(fmt::format(
      "{} {}: a canonical sum over {} shards is of at most as many ranks; raise train.shards, or "
      "ask about train.reduction = \"buckets\"",
      option, ranks, job.shards));
}

}  // namespace thaw
