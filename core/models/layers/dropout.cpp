#include "core/models/layers/dropout.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/ops/dropout.h>
#include <fmt/format.h>

#include <algorithm>
#include <mutex>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "core/base/error.h"
#include "core/kernels/random/keyed_dropout.h"

namespace thaw {
namespace nn {

Dropout::Dropout(double probability) : probability_(probability) {
  if (!(probability >= 0 && probability <= 1)) {
    throw std::invalid_argument("Dropout: the probability must lie in [0, 1]");
  }
}

at::Tensor Dropout::forward(const at::Tensor& input) {
  if (!active()) {
    return input;
  }
  if (DrawScope* scope = DrawScope::current()) {
    return keyed_dropout(input, scope->draws(site_, probability_));
  }
  return at::dropout(input, probability_, /*train=*/true);
}

std::optional<DropoutDraws> Dropout::draws(const SampleRows& rows) {
  if (!active()) {
    return std::nullopt;
  }
  if (DrawScope* scope = DrawScope::current()) {
    return scope->draws(site_, probability_);
  }
  at::Generator generator = at::detail::getDefaultCPUGenerator();
  std::uint64_t seed = 0;
  {
    const std::lock_guard<std::mutex> lock(generator.mutex());
    seed = at::check_generator<at::CPUGeneratorImpl>(generator)->random64();
  }
  return DropoutDraws{.key = dropout_key(seed, 0, site_, 0, probability_),
                      .rows = std::make_shared<const SampleRows>(rows)};
}

}  // namespace nn

double dropout_option(double given, double otherwise, const char* key) {
  if (given < 0) {
    return otherwise;
  }
  if (given > 1) {
    throw InputError(fmt::format("model.{}: must lie in [0, 1], not be {}", key, given));
  }
  return given;
}

void assign_draw_sites(torch::nn::Module& module) {
  std::vector<std::pair<std::string, nn::Dropout*>> dropouts;
  for (const auto& item : module.named_modules(std::string(), /*include_self=*/false)) {
    if (auto* dropout = dynamic_cast<nn::Dropout*>(item.value().get())) {
      dropouts.emplace_back(item.key(), dropout);
    }
  }
  std::sort(dropouts.begin(), dropouts.end());
  std::uint32_t site = 0;
  for (auto& [name, dropout] : dropouts) {
    dropout->set_site(++site);
  }
}

}  // namespace thaw
