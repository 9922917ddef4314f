#include "core/data/activations/activation_layout.h"

#include <ATen/ops/empty.h>
#include <c10/util/Exception.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <functional>
#include <numeric>

namespace thaw {
namespace {

at::MemoryFormat format_of(const ActivationLayout& layout) {
  return layout.channels_last ? at::MemoryFormat::ChannelsLast : at::MemoryFormat::Contiguous;
}

std::string name_of(at::ScalarType type) {
  switch (type) {
    case at::kFloat:
      return "float32";
    case at::kDouble:
      return "float64";
    case at::kBFloat16:
      return "bfloat16";
    default:
      return at::toString(type);
  }
}

}  // namespace

std::int64_t ActivationLayout::row_bytes() const {
  return std::accumulate(shape.begin(), shape.end(), std::int64_t{1}, std::multiplies<>()) *
         static_cast<std::int64_t>(at::elementSize(type));
}

at::Tensor ActivationLayout::memory(std::int64_t row_count) const {
  std::vector<std::int64_t> sizes{row_count};
  sizes.insert(sizes.end(), shape.begin(), shape.end());
  return at::empty(sizes, at::TensorOptions(type).memory_format(format_of(*this)));
}

std::vector<std::int64_t> ActivationLayout::stored_shape() const {
  return channels_last ? std::vector<std::int64_t>{shape[1], shape[2], shape[0]} : shape;
}

std::string ActivationLayout::describe() const {
  const std::string row = by_token    ? "tokens"
                          : rows == 1 ? "samples"
                                      : fmt::format("samples x {}", rows);
  return fmt::format("{}{}{} {}{}", row, shape.empty() ? "" : " x ", fmt::join(shape, " x "),
                     name_of(type), channels_last ? ", channels last" : "");
}

std::optional<ActivationLayout> layout_of(const at::Tensor& hidden, std::int64_t samples,
                                          std::int64_t tokens) {
  if (!hidden.defined() || hidden.dim() == 0 || samples == 0 || hidden.numel() == 0) return {};
  ActivationLayout layout;
  layout.by_token = tokens >= 0 && hidden.size(0) == tokens;
  if (!layout.by_token && hidden.size(0) % samples != 0) return {};
  layout.rows = layout.by_token ? 1 : hidden.size(0) / samples;
  layout.shape.assign(hidden.sizes().begin() + 1, hidden.sizes().end());
  layout.type = hidden.scalar_type();
  layout.channels_last = hidden.dim() == 4 && !hidden.is_contiguous() &&
                         hidden.is_contiguous(at::MemoryFormat::ChannelsLast);
  return layout;
}

std::vector<std::int64_t> row_offsets(const ActivationLayout& layout, std::int64_t samples,
                                      std::span<const std::int64_t> token_offsets) {
  if (layout.by_token) {
    std::vector<std::int64_t> offsets(token_offsets.begin(), token_offsets.end());
    for (std::int64_t& offset : offsets) offset -= token_offsets.front();
    return offsets;
  }
  std::vector<std::int64_t> offsets(static_cast<std::size_t>(samples) + 1);
  for (std::size_t i = 0; i < offsets.size(); ++i) {
    offsets[i] = static_cast<std::int64_t>(i) * layout.rows;
  }
  return offsets;
}

at::Tensor laid_out(const at::Tensor& hidden, const ActivationLayout& layout) {
  TORCH_CHECK(hidden.sizes().slice(1) == at::IntArrayRef(layout.shape) &&
                  hidden.scalar_type() == layout.type,
              "activations are ", hidden.sizes(), " ", hidden.scalar_type(), ", not ",
              layout.describe());
  return hidden.detach().to(at::kCPU).contiguous(format_of(layout));
}

}  // namespace thaw
