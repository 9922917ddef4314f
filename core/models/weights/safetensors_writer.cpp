#include <ATen/core/grad_mode.h>
#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <set>

#include "core/base/error.h"
#include "core/base/json_text.h"
#include "core/base/whole_file.h"
#include "core/models/weights/safetensors.h"

namespace thaw {
namespace {

at::ScalarType stored_dtype(const SafetensorsItem& item) {
  return item.stored_as.value_or(item.tensor.scalar_type());
}

std::vector<const SafetensorsItem*> in_order(const std::vector<SafetensorsItem>& items) {
  std::vector<const SafetensorsItem*> order;
  std::set<std::string> names;
  for (const SafetensorsItem& item : items) {
    if (item.name == "__metadata__" || !names.insert(item.name).second) {
      throw InputError(fmt::format("cannot store two tensors as \"{}\"", item.name));
    }
    if (safetensors_dtype(stored_dtype(item)).empty()) {
      throw InputError(fmt::format("cannot store tensor \"{}\": safetensors has no dtype {}",
                                   item.name, c10::toString(stored_dtype(item))));
    }
    order.push_back(&item);
  }
  // Larger elements first, as the reference does: every tensor is then aligned to its elements.
  std::sort(order.begin(), order.end(), [](const SafetensorsItem* a, const SafetensorsItem* b) {
    const auto size_a = c10::elementSize(stored_dtype(*a));
    const auto size_b = c10::elementSize(stored_dtype(*b));
    return size_a != size_b ? size_a > size_b : a->name < b->name;
  });
  return order;
}

std::string header_text(const std::vector<const SafetensorsItem*>& order,
                        const SafetensorsFile::Metadata& metadata) {
  nlohmann::ordered_json header = nlohmann::ordered_json::object();
  if (!metadata.empty()) {
    header["__metadata__"] = metadata;
  }
  std::uint64_t offset = 0;
  for (const SafetensorsItem* item : order) {
    const at::ScalarType dtype = stored_dtype(*item);
    const std::uint64_t end =
        offset + static_cast<std::uint64_t>(item->tensor.numel()) * c10::elementSize(dtype);
    header[item->name] = {{"dtype", safetensors_dtype(dtype)},
                          {"shape", item->tensor.sizes().vec()},
                          {"data_offsets", {offset, end}}};
    offset = end;
  }
  std::string text = json_text(header);
  text.append((8 - text.size() % 8) % 8, ' ');
  return text;
}

}  // namespace

void write_safetensors(const std::function<void(const void*, std::size_t)>& sink,
                       const std::vector<SafetensorsItem>& items,
                       const SafetensorsFile::Metadata& metadata) {
  const at::NoGradGuard no_grad;
  const std::vector<const SafetensorsItem*> order = in_order(items);
  const std::string header = header_text(order, metadata);
  const std::uint64_t length = header.size();
  sink(&length, sizeof(length));
  sink(header.data(), header.size());
  for (const SafetensorsItem* item : order) {
    const at::Tensor plain = item->tensor.detach().to(at::kCPU, stored_dtype(*item)).contiguous();
    sink(plain.const_data_ptr(), plain.nbytes());
  }
}

void write_safetensors(const std::string& path, const std::vector<SafetensorsItem>& items,
                       const SafetensorsFile::Metadata& metadata, Lasting lasting) {
  in_order(items);  // what cannot be stored is refused before there is a file
  WholeFile file(path);
  write_safetensors([&](const void* bytes, std::size_t size) { file.write(bytes, size); }, items,
                    metadata);
  file.commit(lasting);
}

}  // namespace thaw
