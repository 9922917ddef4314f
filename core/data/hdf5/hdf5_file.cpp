#include "core/data/hdf5/hdf5_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <hdf5.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "core/base/file_kind.h"
#include "core/base/file_use.h"
#include "core/data/split_names.h"

namespace thaw {
namespace {

/// Errors of the file system, which HDF5 would hide in a stack of its own. Returns the size.
std::int64_t check_readable(const std::string& path) {
  const FileUse use("open", path);
  // Without O_NONBLOCK a pipe of that name would block for ever.
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  struct stat status {};
  if (descriptor < 0 || ::fstat(descriptor, &status) != 0) {
    const std::string reason = std::strerror(errno);
    if (descriptor >= 0) ::close(descriptor);
    throw InputError(fmt::format("{}: {}", path, reason));
  }
  ::close(descriptor);
  if (S_ISDIR(status.st_mode)) throw InputError(path + ": is a folder, must be an HDF5 file");
  if (!S_ISREG(status.st_mode)) throw InputError(path + ": is no regular file");
  return status.st_size;
}

/// How a file is opened: for reading, by one process of many.
Hdf5Handle access_properties(const std::string& path) {
  Hdf5Handle access(H5Pcreate(H5P_FILE_ACCESS), H5Pclose, path);
#if H5_VERSION_GE(1, 10, 7)
  // Where the file system knows no locks, as Lustre often, read without.
  H5Pset_file_locking(access.get(), true, true);
#endif
  return access;
}

/// HDF5's callbacks, which cannot carry an exception: they only collect.
herr_t collect_name(hid_t, const char* name, const H5L_info_t*, void* names) {
  static_cast<std::vector<std::string>*>(names)->emplace_back(name);
  return 0;
}

herr_t collect_attribute(hid_t, const char* name, const H5A_info_t*, void* names) {
  static_cast<std::vector<std::string>*>(names)->emplace_back(name);
  return 0;
}

/// An open attribute with its type and number of elements.
struct Attribute {
  Hdf5Handle handle;
  Hdf5Handle type;
  std::int64_t elements = 0;
  int rank = 0;
  std::size_t element_bytes = 0;
  H5T_class_t kind = H5T_NO_CLASS;
};

/// Opens an attribute after checking that its size is one that its file can hold. `where` names it
/// in messages, `file_bytes` is the file's size.
Attribute open_attribute(hid_t file, const std::string& name, const std::string& where,
                         std::int64_t file_bytes) {
  Attribute result;
  result.handle =
      Hdf5Handle(H5Aopen(file, name.c_str(), H5P_DEFAULT), H5Aclose, where + ": cannot be opened");
  result.type = Hdf5Handle(H5Aget_type(result.handle.get()), H5Tclose, where + ": no dtype");
  const Hdf5Handle space(H5Aget_space(result.handle.get()), H5Sclose, where + ": no shape");
  result.rank = H5Sget_simple_extent_ndims(space.get());
  const hssize_t elements = H5Sget_simple_extent_npoints(space.get());
  result.element_bytes = H5Tget_size(result.type.get());
  result.kind = H5Tget_class(result.type.get());
  // An attribute is stored whole: what is larger than its file is damaged.
  if (elements < 0 || result.element_bytes == 0 ||
      elements > file_bytes / static_cast<std::int64_t>(result.element_bytes)) {
    throw InputError(fmt::format("{}: {} elements of {} bytes in a file of {}; the file is damaged",
                                 where, elements, result.element_bytes, file_bytes));
  }
  result.elements = elements;
  return result;
}

/// HDF5 allocates each string; it is freed here, and copied out before.
std::vector<std::string> read_variable_strings(const Attribute& attribute,
                                               const std::string& where) {
  std::vector<char*> pointers(attribute.elements, nullptr);
  const Hdf5Handle type(H5Tcopy(H5T_C_S1), H5Tclose, where);
  H5Tset_size(type.get(), H5T_VARIABLE);
  H5Tset_cset(type.get(), H5Tget_cset(attribute.type.get()));
  if (H5Aread(attribute.handle.get(), type.get(), pointers.data()) < 0) {
    throw Hdf5Error(where + ": cannot be read");
  }
  std::vector<std::string> result;
  result.reserve(pointers.size());
  for (char* pointer : pointers) {
    result.emplace_back(pointer == nullptr ? "" : pointer);
    H5free_memory(pointer);
  }
  return result;
}

/// `element_bytes` a string; ends at the first zero, or where padding with spaces begins.
std::vector<std::string> read_fixed_strings(const Attribute& attribute, const std::string& where) {
  std::string bytes(attribute.elements * attribute.element_bytes, '\0');
  if (H5Aread(attribute.handle.get(), attribute.type.get(), bytes.data()) < 0) {
    throw Hdf5Error(where + ": cannot be read");
  }
  const bool spaces = H5Tget_strpad(attribute.type.get()) == H5T_STR_SPACEPAD;
  std::vector<std::string> result;
  result.reserve(attribute.elements);
  for (std::int64_t i = 0; i < attribute.elements; ++i) {
    std::string text = bytes.substr(i * attribute.element_bytes, attribute.element_bytes);
    text.erase(std::find(text.begin(), text.end(), '\0'), text.end());
    if (spaces) text.erase(text.find_last_not_of(' ') + 1);
    result.push_back(std::move(text));
  }
  return result;
}

std::vector<std::string> read_strings(const Attribute& attribute, const std::string& where) {
  if (attribute.elements == 0) return {};
  return H5Tis_variable_str(attribute.type.get()) > 0 ? read_variable_strings(attribute, where)
                                                      : read_fixed_strings(attribute, where);
}

/// Of whatever number type, converted by HDF5.
std::vector<double> read_numbers(const Attribute& attribute, const std::string& where) {
  if (attribute.elements == 0) return {};
  std::vector<double> result(attribute.elements);
  if (H5Aread(attribute.handle.get(), H5T_NATIVE_DOUBLE, result.data()) < 0) {
    throw Hdf5Error(where + ": cannot be read");
  }
  return result;
}

}  // namespace

Hdf5File::Hdf5File(const std::string& path) : path_(path), bytes_(check_readable(path)) {
  const FileUse use("open", path_);
  const Hdf5Guard guard;
  if (H5Fis_hdf5(path.c_str()) == 0) {
    throw InputError(path + ": is not an HDF5 file" + kind_clause(path) +
                     "; launch/prepare.py makes one from your data");
  }
  const Hdf5Handle access = access_properties(path);
  handle_ = Hdf5Handle(H5Fopen(path.c_str(), H5F_ACC_RDONLY, access.get()), H5Fclose,
                       path + ": cannot be opened as HDF5: damaged, or still being written");
}

std::vector<std::string> Hdf5File::names_in(const std::string& group) const {
  const Hdf5Guard guard;
  const FileUse use("read", path_);
  const std::string context = fmt::format("{}: {}: cannot be listed", path_, group);
  const Hdf5Handle opened(H5Gopen2(handle_.get(), group.c_str(), H5P_DEFAULT), H5Gclose, context);
  std::vector<std::string> names;
  hsize_t position = 0;
  if (H5Literate(opened.get(), H5_INDEX_NAME, H5_ITER_INC, &position, collect_name, &names) < 0) {
    throw Hdf5Error(context);
  }
  std::sort(names.begin(), names.end());
  return names;
}

std::vector<std::string> Hdf5File::groups_in(const std::string& group) const {
  std::vector<std::string> names = names_in(group);
  const Hdf5Guard guard;
  const FileUse use("read", path_);
  std::erase_if(names, [&](const std::string& name) {
    const std::string full = (group == "/" ? "" : group) + "/" + name;
    const hid_t object = H5Oopen(handle_.get(), full.c_str(), H5P_DEFAULT);
    if (object < 0) {  // a link that leads nowhere
      // Of a split that somebody means to be there; what else leads nowhere is none of Thaw's.
      if (group == "/" && !split_meant(name).empty()) {
        throw Hdf5Error(fmt::format("{}: {} is a link that leads nowhere", path_, full));
      }
      return true;
    }
    const bool is_group = H5Iget_type(object) == H5I_GROUP;
    H5Oclose(object);
    return !is_group;
  });
  return names;
}

Hdf5Dataset Hdf5File::dataset(const std::string& name) const {
  return Hdf5Dataset(handle_.get(), path_, name);
}

std::string Hdf5File::where(const std::string& attribute) const {
  return fmt::format("{}: attribute \"{}\"", path_, attribute);
}

bool Hdf5File::has_attribute(const std::string& attribute) const {
  return H5Aexists(handle_.get(), attribute.c_str()) > 0;
}

std::vector<std::string> Hdf5File::attribute_names() const {
  const Hdf5Guard guard;
  const FileUse use("read", path_);
  std::vector<std::string> names;
  hsize_t position = 0;
  if (H5Aiterate2(handle_.get(), H5_INDEX_NAME, H5_ITER_INC, &position, collect_attribute, &names) <
      0) {
    throw Hdf5Error(path_ + ": attributes cannot be listed");
  }
  return names;
}

std::optional<std::vector<std::string>> Hdf5File::strings(const std::string& attribute) const {
  const Hdf5Guard guard;
  const FileUse use("read", path_);
  if (!has_attribute(attribute)) return std::nullopt;
  const Attribute opened = open_attribute(handle_.get(), attribute, where(attribute), bytes_);
  if (opened.kind != H5T_STRING || opened.rank != 1) {
    throw InputError(where(attribute) + ": must be a list of strings");
  }
  return read_strings(opened, where(attribute));
}

std::optional<std::string> Hdf5File::text(const std::string& attribute) const {
  const Hdf5Guard guard;
  const FileUse use("read", path_);
  if (!has_attribute(attribute)) return std::nullopt;
  const Attribute opened = open_attribute(handle_.get(), attribute, where(attribute), bytes_);
  if (opened.kind != H5T_STRING || opened.elements != 1) {
    throw InputError(where(attribute) + ": must be a string");
  }
  return read_strings(opened, where(attribute)).front();
}

std::optional<std::vector<double>> Hdf5File::numbers(const std::string& attribute) const {
  const Hdf5Guard guard;
  const FileUse use("read", path_);
  if (!has_attribute(attribute)) return std::nullopt;
  const Attribute opened = open_attribute(handle_.get(), attribute, where(attribute), bytes_);
  if ((opened.kind != H5T_FLOAT && opened.kind != H5T_INTEGER) || opened.rank > 1) {
    throw InputError(where(attribute) + ": must be a number or a list of numbers");
  }
  return read_numbers(opened, where(attribute));
}

std::string Hdf5File::attribute_text(const std::string& attribute) const {
  const Hdf5Guard guard;
  const FileUse use("read", path_);
  const Attribute opened = open_attribute(handle_.get(), attribute, where(attribute), bytes_);
  constexpr std::int64_t kShown = 8;
  if (opened.elements > kShown) return fmt::format("{} values", opened.elements);
  if (opened.kind == H5T_STRING) {
    return fmt::format("{}", fmt::join(read_strings(opened, where(attribute)), ", "));
  }
  if (opened.kind == H5T_FLOAT || opened.kind == H5T_INTEGER) {
    return fmt::format("{}", fmt::join(read_numbers(opened, where(attribute)), ", "));
  }
  return "";
}

}  // namespace thaw
