#include "dist/forecast/network_reader.h"

#include <fmt/format.h>

#include "core/base/input_text.h"
#include "core/config/problems.h"
#include "core/config/toml_reader.h"
#include "core/schedule/toml/inner_table.h"

namespace thaw {

namespace {

// Note [Ranges of a network]
// Each value is held against what any machine could have, so that a slip of the unit (microseconds
// for seconds, Gbit for bytes) is found where the file is read and not in a forecast that is off by
// a thousand.

constexpr std::int64_t kMostFileBytes = 1 << 20;
constexpr Range kLatency{.least = 0, .most = 1};         // seconds
constexpr Range kBandwidth{.least = 1e5, .most = 1e14};  // bytes a second
constexpr Range kBandwidthOrNone{.least = 1e5, .most = 1e14, .or_zero = true};
constexpr Range kFlops{.least = 1e8, .most = 1e18, .or_zero = true};

/// The table `key` of the file, or an empty one that is written nowhere.
const Setting& table_of(const Setting& file, const char* key, const Setting& none) {
  const Setting* found = file.find(key);
  return found != nullptr ? *found : none;
}

void read_link(InnerTable& table, Link& link) {
  table.require("latency");
  table.require("bandwidth");
  link.latency = table.number("latency", 0, kLatency);
  link.bandwidth = table.number("bandwidth", 1e9, kBandwidth);
}

void read_sums(InnerTable& table, Network& network) {
  const std::string library = table.text("library", "mpi", {"mpi", "nccl"});
  network.library = library == "nccl" ? SumLibrary::kNccl : SumLibrary::kMpi;
  network.call_seconds = table.number("call-seconds", 0, kLatency);
  network.sum_bandwidth = table.number("add-bandwidth", 0, kBandwidthOrNone);
  network.overlap_cost = table.number("overlap-cost", 0, {.least = 0, .most = 1});
}

void read_compute(InnerTable& table, Network& network) {
  constexpr double kGiB = 1 << 30;
  network.on_gpus = table.text("device", "cpu", {"cpu", "gpu"}) == "gpu";
  network.compute_rate = table.number("rate", 1, {.above = 0, .most = 1e6});
  network.float32_flops = table.number("float32-flops", 0, kFlops);
  network.bfloat16_flops = table.number("bfloat16-flops", 0, kFlops);
  network.shared_cores = table.integer("shared-cores", 0, {.least = 0, .most = 1 << 20});
  network.memory = static_cast<std::int64_t>(
      kGiB * table.number("memory-gib", 0, {.least = 0, .most = 1 << 20}));
}

}  // namespace

Network network_of_text(const std::string& text, const std::string& path) {
  const Setting file = read_toml(text, path);
  const Setting none{Setting::Table{}, file.where};
  Problems problems;
  Network network;
  InnerTable top(file, "network",
                 {"name", "ranks-per-host", "inside", "between", "sums", "compute"}, problems);
  top.require("name");
  network.name = top.text("name", "", {});
  if (top.has("name") && top.good() && network.name.empty())
    top.report("name", "must say something");
  network.ranks_a_host = top.integer("ranks-per-host", 1, {.least = 1, .most = 4096});
  for (const char* table : {"inside", "between"}) top.require(table);
  InnerTable inside(table_of(file, "inside", none), "inside", {"latency", "bandwidth"}, problems);
  if (top.has("inside")) read_link(inside, network.inside);
  InnerTable between(table_of(file, "between", none), "between",
                     {"latency", "bandwidth", "both-ways", "rank-bandwidth", "burst"}, problems);
  if (top.has("between")) read_link(between, network.between);
  network.both_ways = between.number("both-ways", 0, kBandwidthOrNone);
  if (between.good() && network.both_ways > network.between.bandwidth) {
    between.report("both-ways",
                   fmt::format("must be at most between.bandwidth, {:g}, got {:g}; 0: as one way",
                               network.between.bandwidth, network.both_ways));
  }
  network.rank_bandwidth = between.number("rank-bandwidth", 0, kBandwidthOrNone);
  network.burst = between.number("burst", 0, {.least = 0, .most = 1e9});
  InnerTable sums(table_of(file, "sums", none), "sums",
                  {"library", "call-seconds", "add-bandwidth", "overlap-cost"}, problems);
  read_sums(sums, network);
  InnerTable compute(
      table_of(file, "compute", none), "compute",
      {"device", "rate", "float32-flops", "bfloat16-flops", "shared-cores", "memory-gib"},
      problems);
  read_compute(compute, network);
  problems.throw_if_any();
  return network;
}

Network read_network(const std::string& path) {
  return network_of_text(read_input_text(path, kMostFileBytes), path);
}

}  // namespace thaw
