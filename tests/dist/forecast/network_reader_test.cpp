#include "dist/forecast/network_reader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "core/base/error.h"
#include "tests/support/paths.h"

namespace thaw {
namespace {

using ::testing::HasSubstr;

const std::string kLeast =
    "name = \"lab\"\n"
    "[inside]\nlatency = 1e-6\nbandwidth = 8e9\n"
    "[between]\nlatency = 5e-5\nbandwidth = 118_600_000\n";

std::string fault_of(const std::string& text) {
  try {
    network_of_text(text, "lab.toml");
  } catch (const InputError& error) {
    return error.what();
  }
  return "";
}

TEST(NetworkReader, WhatIsNotSaidCostsNothing) {
  const Network network = network_of_text(kLeast, "lab.toml");
  Network expected;
  expected.name = "lab";
  expected.inside = {1e-6, 8e9};
  expected.between = {5e-5, 1.186e8};
  EXPECT_EQ(network, expected);
}

TEST(NetworkReader, ReadsEachValue) {
  const Network network = network_of_text(
      "name = \"lab\"\nranks-per-host = 4\n"
      "[inside]\nlatency = 1e-6\nbandwidth = 8e9\n"
      "[between]\nlatency = 5e-5\nbandwidth = 1e9\nboth-ways = 7e8\nrank-bandwidth = 5e8\n"
      "burst = 256000\n"
      "[sums]\nlibrary = \"nccl\"\ncall-seconds = 1e-5\nadd-bandwidth = 4e9\noverlap-cost = 0.5\n"
      "[compute]\ndevice = \"gpu\"\nrate = 3\nfloat32-flops = 1e13\nbfloat16-flops = 1e14\n"
      "shared-cores = 2\nmemory-gib = 80\n",
      "lab.toml");
  EXPECT_EQ(network.ranks_a_host, 4);
  EXPECT_EQ(network.both_ways, 7e8);
  EXPECT_EQ(network.rank_bandwidth, 5e8);
  EXPECT_EQ(network.burst, 256000);
  EXPECT_EQ(network.library, SumLibrary::kNccl);
  EXPECT_EQ(network.call_seconds, 1e-5);
  EXPECT_EQ(network.sum_bandwidth, 4e9);
  EXPECT_EQ(network.overlap_cost, 0.5);
  EXPECT_TRUE(network.on_gpus);
  EXPECT_EQ(network.compute_rate, 3);
  EXPECT_EQ(network.float32_flops, 1e13);
  EXPECT_EQ(network.bfloat16_flops, 1e14);
  EXPECT_EQ(network.shared_cores, 2);
  EXPECT_EQ(network.memory, std::int64_t{80} << 30);
}

TEST(NetworkReader, RefusesWithTheLineAndWhatIsAllowed) {
  EXPECT_THAT(fault_of(kLeast + "rate = 1\n"), HasSubstr("lab.toml:8: between.rate: unknown key"));
  EXPECT_THAT(fault_of(kLeast + "both-ways = 2.4e8\n"),
              HasSubstr("lab.toml:8: between.both-ways: must be at most between.bandwidth, "
                        "1.186e+08, got 2.4e+08"));
  EXPECT_EQ(fault_of(kLeast + "both-ways = 118_600_000\n"), "") << "as one way";
  EXPECT_THAT(fault_of(kLeast + "[switch]\nports = 8\n"), HasSubstr("network.switch: unknown key"));
  EXPECT_THAT(fault_of(kLeast + "[sums]\noverlap-cost = 1.5\n"),
              HasSubstr("lab.toml:9: sums.overlap-cost: "));
  EXPECT_THAT(fault_of(kLeast + "[sums]\nlibrary = \"gloo\"\n"), HasSubstr("sums.library"));
  EXPECT_THAT(fault_of("name = \"lab\"\n[inside]\nlatency = 50\nbandwidth = 8e9\n"
                       "[between]\nlatency = 0\nbandwidth = 1e9\n"),
              HasSubstr("lab.toml:3: inside.latency: "));
  EXPECT_THAT(fault_of("name = \"lab\"\n[inside]\nlatency = 0\nbandwidth = 10\n"
                       "[between]\nlatency = 0\nbandwidth = 1e9\n"),
              HasSubstr("lab.toml:4: inside.bandwidth: "));
  EXPECT_THAT(fault_of("name = \"lab\"\ninside = 3\n"),
              ::testing::AllOf(HasSubstr("inside: expected a table"),
                               HasSubstr("network.between: missing")));
  EXPECT_THAT(fault_of(kLeast.substr(kLeast.find('\n'))), HasSubstr("network.name: missing"));
  EXPECT_THAT(fault_of("[inside]\nlatency = 0\n"), HasSubstr("inside.bandwidth: missing"));
  EXPECT_THAT(fault_of("name = \n"), HasSubstr("lab.toml"));
  EXPECT_THROW(read_network("there/is/none.toml"), InputError);
}

TEST(NetworkReader, ReadsTheDescriptionsThatComeWithThaw) {
  int count = 0;
  for (const auto& entry : std::filesystem::directory_iterator(source_path("cluster/networks"))) {
    if (entry.path().extension() != ".toml") continue;
    EXPECT_FALSE(read_network(entry.path().string()).name.empty());
    ++count;
  }
  EXPECT_GE(count, 5);
}

TEST(Network, RanksFillOneHostAfterAnother) {
  Network network;
  network.ranks_a_host = 4;
  EXPECT_EQ(place(network, 3).hosts, 1);
  EXPECT_EQ(place(network, 3).on_host, 3);
  EXPECT_EQ(place(network, 9).hosts, 3);
  EXPECT_EQ(place(network, 9).on_host, 4);
}

}  // namespace
}  // namespace thaw
