#include "core/data/hdf5/hdf5_handle.h"

#include <hdf5.h>

#include <mutex>
#include <type_traits>
#include <vector>

namespace thaw {
namespace {

static_assert(std::is_same_v<hid_t, std::int64_t>, "HDF5 1.10 or later is needed");

std::recursive_mutex& hdf5_mutex() {
  // Never destroyed: handles in static objects may be closed after main.
  static auto* mutex = new std::recursive_mutex;
  return *mutex;
}

herr_t collect(unsigned, const H5E_error2_t* entry, void* texts) {
  if (entry->desc != nullptr && *entry->desc != '\0') {
    static_cast<std::vector<std::string>*>(texts)->emplace_back(entry->desc);
  }
  return 0;
}

/// The outermost and the innermost entry of the stack: what was tried, and why it failed.
std::string error_stack_text() {
  std::vector<std::string> texts;
  H5Ewalk2(H5E_DEFAULT, H5E_WALK_DOWNWARD, collect, &texts);
  H5Eclear2(H5E_DEFAULT);
  if (texts.empty()) return "HDF5 gives no reason";
  if (texts.size() == 1 || texts.front() == texts.back()) return texts.front();
  return texts.front() + ": " + texts.back();
}

}  // namespace

Hdf5Error::Hdf5Error(const std::string& context)
    : InputError(context + " (" + error_stack_text() + ")") {}

Hdf5Guard::Hdf5Guard() {
  hdf5_mutex().lock();
  H5E_auto2_t print = nullptr;
  H5Eget_auto2(H5E_DEFAULT, &print, &print_data_);
  print_function_ = reinterpret_cast<void*>(print);
  H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr);
}

Hdf5Guard::~Hdf5Guard() {
  H5Eset_auto2(H5E_DEFAULT, reinterpret_cast<H5E_auto2_t>(print_function_), print_data_);
  hdf5_mutex().unlock();
}

Hdf5Handle::Hdf5Handle(std::int64_t id, Close close, const std::string& context)
    : id_(id), close_(close) {
  if (id < 0) throw Hdf5Error(context);
}

Hdf5Handle::~Hdf5Handle() {
  if (id_ < 0) return;
  const Hdf5Guard guard;
  close_(id_);  // nothing was written: a failure loses nothing
}

}  // namespace thaw
