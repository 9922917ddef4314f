#include <gtest/gtest.h>

#include <filesystem>

#include "core/schedule/toml/schedule_writer.h"
#include "tests/core/schedule/schedule_fixture.h"
#include "tests/support/paths.h"

namespace thaw {
namespace {

const std::vector<std::string> kCifarResNet = {"stem", "layer1", "layer2", "layer3", "head"};

/// Of 30 layers, and a head that is the embeddings.
const std::vector<std::string>& smollm2_groups() {
  static const std::vector<std::string> all = [] {
    std::vector<std::string> groups = {"embeddings"};
    for (int i = 0; i < 30; ++i) groups.push_back("layers." + std::to_string(i));
    groups.emplace_back("norm");
    return groups;
  }();
  return all;
}

TEST(ShippedConfigurations, ResolveAndReadBack) {
  int files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(source_path("configs"))) {
    if (entry.path().extension() != ".toml") continue;
    SCOPED_TRACE(entry.path().string());
    ++files;
    const auto document = read_configuration(entry.path().string());
    const std::string& architecture = document.configuration.model.architecture;
    const auto& groups = architecture == "bert"    ? kBert
                         : architecture == "llama" ? smollm2_groups()
                                                   : kCifarResNet;
    const Schedule schedule = resolve_schedule(document, groups, 10000, true, kMetrics);
    const std::string text = write_configuration_toml(document.configuration, schedule);
    const auto again = parse_configuration(text, "config.resolved.toml");
    EXPECT_EQ(again.configuration, document.configuration);
    EXPECT_EQ(resolve_schedule(again, groups, 10000, true, kMetrics), schedule);
  }
  EXPECT_GE(files, 5);
}

}  // namespace
}  // namespace thaw
