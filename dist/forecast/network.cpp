#include "dist/forecast/network.h"

#include <algorithm>

namespace thaw {

Placement place(const Network& network, std::int64_t ranks) {
  const std::int64_t on_host = std::max<std::int64_t>(1, network.ranks_a_host);
  return {(ranks + on_host - 1) / on_host, std::min(ranks, on_host)};
}

double rate_of(const Network& network, const ComputingRanks& ranks) {
  const double flops =
      ranks.precision == Precision::kBFloat16 ? network.bfloat16_flops : network.float32_flops;
  double rate = network.compute_rate;
  if (flops > 0 && ranks.measured_flops > 0) rate *= flops / ranks.measured_flops;
  if (network.shared_cores <= 0) return rate;
  const auto wanted = static_cast<double>(ranks.ranks * ranks.threads);
  return rate * std::min(1.0, static_cast<double>(network.shared_cores) / wanted);
}

}  // namespace thaw
