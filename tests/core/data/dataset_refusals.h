#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "core/base/error.h"
#include "core/data/dataset.h"
#include "tests/core/data/hdf5_writer.h"

namespace thaw {

using Int32s = std::vector<std::int32_t>;
using Int64s = std::vector<std::int64_t>;

/// Data files that cannot be used, and what is said of them.
class DatasetRefusals : public testing::Test {
 protected:
  /// What `Dataset` says about a file that `write` filled.
  std::string refusal(const std::function<void(Hdf5Writer&)>& write) {
    {
      Hdf5Writer file(path_);
      write(file);
    }
    return message_of<InputError>([&] { Dataset({path_}); });
  }
  /// About a text file whose arrays are replaced.
  std::string text_refusal(const Int32s& tokens, const Int64s& offsets, const Int64s& labels) {
    return refusal([&](Hdf5Writer& file) {
      file.write("/train/tokens", {tokens.size()}, tokens);
      file.write("/train/offsets", {offsets.size()}, offsets);
      file.write("/train/labels", {labels.size()}, labels);
    });
  }

  TemporaryFolder folder_;
  std::string path_ = folder_ / "bad.h5";
};

}  // namespace thaw
