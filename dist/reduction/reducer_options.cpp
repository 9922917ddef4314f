#include "dist/reduction/reducer_options.h"

#include <fmt/format.h>

#include "core/base/fact.h"
#include "dist/reduction/sending/gradient_hook.h"

namespace thaw {

namespace {

std::string word_for(Overlap overlap) {
  switch (overlap) {
    case Overlap::kAuto:
      return "auto";
    case Overlap::kOn:
      return "on";
    case Overlap::kOff:
      return "off";
  }
  return "unknown";
}

std::string word_for(std::optional<Unused> unused) {
  if (!unused) return "not said";
  return *unused == Unused::kError ? "error" : "allow";
}

}  // namespace

Facts facts_of(const ReducerOptions& options) {
  const LoopOptions& loop = options.loop;
  return {
      {"overlap", "value", word_for(options.overlap)},
      {"unused", "value", word_for(options.unused)},
      {"shards", "value", fmt::format("{}", options.shards)},
      {"sharding", "value", std::string(name_of(options.sharding))},
      {"hook", "value", options.hook ? options.hook->name() : "none"},
      {"loss_mean", "value", loop.loss_mean == LossMean::kStep ? "of a step" : "of a forward"},
      {"broadcast_buffers", "value", loop.broadcast_buffers ? "yes" : "no"},
  };
}

}  // namespace thaw
