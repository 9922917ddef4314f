// read_datasets FILE...: opens each as one data set and reads all its samples, in this one process,
// as a rank does. Says of each file "FILE: ok" or what thaw::InputError says, and at the end how
// much memory it took. Any other error, a crash above all, is what damaged_hdf5_test.py looks for.

#include <fmt/format.h>

#include <cstdint>
#include <string>
#include <vector>

#include "core/base/error.h"
#include "core/base/hash.h"
#include "core/base/system.h"
#include "core/data/dataset.h"

namespace {

void read_all(const thaw::Split& split) {
  std::vector<std::byte> memory;
  for (std::int64_t sample = 0; sample < split.size(); ++sample) {
    memory.resize(split.elements(sample) * split.format().element_bytes());
    split.read(std::vector<std::int64_t>{sample}, memory.data());
  }
}

void read_file(const std::string& path) {
  thaw::Dataset dataset({path});
  for (const std::string& name : dataset.split_names()) {
    thaw::Split& split = dataset.split(name);
    split.prepare({.mode = "memory"});
    if (split.format().kind == thaw::DataKind::kText) split.largest_token();
    read_all(split);
  }
  dataset.describe();
  dataset.fingerprint();
}

}  // namespace

int main(int count, char** values) {
  for (int i = 1; i < count; ++i) {
    try {
      read_file(values[i]);
      fmt::print("{}: ok\n", values[i]);
    } catch (const thaw::InputError& error) {
      fmt::print("{}\n", error.what());
    }
    fmt::print("peak memory: {}\n", thaw::peak_resident_bytes());
  }
}
