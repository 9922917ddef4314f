#include "core/data/hdf5/stored_elsewhere.h"

#include <fmt/format.h>
#include <hdf5.h>

#include <array>
#include <cstddef>
#include <cstdlib>
#include <filesystem>
#include <optional>
#include <string>
#include <system_error>
#include <vector>

#include "core/base/error.h"
#include "core/data/hdf5/hdf5_handle.h"

namespace thaw {
namespace {

namespace fs = std::filesystem;

/// Of virtual datasets whose sources are virtual themselves.
constexpr int kMostLevels = 8;

bool is_regular(const fs::path& path) {
  std::error_code ignored;
  return fs::is_regular_file(path, ignored);
}

/// The file that HDF5 takes for `name`, found in its order of places; "" where there is none.
std::string find_file(const std::string& name, const fs::path& folder, const char* variable) {
  std::vector<fs::path> places;
  const fs::path path(name);
  if (const char* prefix = std::getenv(variable); prefix != nullptr && path.is_relative()) {
    const std::string text(prefix);
    places.push_back(text.starts_with("${ORIGIN}") ? folder / ("." + text.substr(9)) / path
                                                   : fs::path(text) / path);
  }
  places.push_back(path.is_absolute() ? path : folder / path);
  places.push_back(path);
  places.push_back(folder / path.filename());
  for (const fs::path& place : places) {
    if (is_regular(place)) return place.string();
  }
  return "";
}

/// Raw bytes in files of their own.
void require_external(hid_t creation, const std::string& where, const fs::path& folder) {
  const int count = H5Pget_external_count(creation);
  for (int i = 0; i < count; ++i) {
    std::array<char, 4096> name{};
    off_t offset = 0;
    hsize_t size = 0;
    if (H5Pget_external(creation, static_cast<unsigned>(i), name.size() - 1, name.data(), &offset,
                        &size) < 0) {
      throw Hdf5Error(where + ": its external files cannot be listed");
    }
    const std::string file = find_file(name.data(), folder, "HDF5_EXTFILE_PREFIX");
    if (file.empty()) {
      throw InputError(fmt::format("{}: its values lie in another file, {}, which is not there",
                                   where, name.data()));
    }
    std::error_code ignored;
    const std::uintmax_t bytes = fs::file_size(file, ignored);
    const auto begin = static_cast<std::uintmax_t>(offset);
    if (size != H5F_UNLIMITED && (bytes < begin || bytes - begin < size)) {
      throw InputError(fmt::format("{}: takes {} bytes at byte {} of {}, which has {}", where, size,
                                   begin, file, bytes));
    }
  }
}

using Text = ssize_t (*)(hid_t, std::size_t, char*, std::size_t);

std::string text_of(Text ask, hid_t creation, std::size_t index, const std::string& where) {
  const ssize_t length = ask(creation, index, nullptr, 0);
  if (length < 0 || length > (1 << 16)) throw Hdf5Error(where + ": its sources cannot be listed");
  std::string text(static_cast<std::size_t>(length) + 1, '\0');
  ask(creation, index, text.data(), text.size());
  text.resize(static_cast<std::size_t>(length));
  return text;
}

/// What is `taken` of source `index` must be in its `space`.
void require_taken(hid_t creation, std::size_t index, hid_t taken, hid_t space,
                   const std::string& what) {
  if (H5Sget_select_type(taken) == H5S_SEL_ALL) {  // all that there is: its shape is not told
    const Hdf5Handle place(H5Pget_virtual_vspace(creation, index), H5Sclose, what);
    const hssize_t wanted = H5Sget_select_npoints(place.get());
    const hssize_t held = H5Sget_simple_extent_npoints(space);
    if (held >= wanted) return;
    throw InputError(fmt::format("{}: holds {} values, of which {} are taken", what, held, wanted));
  }
  std::array<hsize_t, H5S_MAX_RANK> start{}, end{}, extent{};
  const int rank = H5Sget_simple_extent_ndims(space);
  if (rank != H5Sget_simple_extent_ndims(taken)) {
    throw InputError(what + ": has another number of dimensions than is taken of it");
  }
  const bool bounded = H5Sget_select_bounds(taken, start.data(), end.data()) >= 0;
  H5Sget_simple_extent_dims(space, extent.data(), nullptr);
  for (int i = 0; bounded && i < rank; ++i) {
    if (end[i] < extent[i]) continue;
    throw InputError(fmt::format("{}: holds {} along dimension {}, of which {} are taken", what,
                                 extent[i], i, end[i] + 1));
  }
}

/// `pattern` for the source of number `block`: "%b" is the number, "%%" a per cent sign.
std::string numbered(const std::string& pattern, hsize_t block) {
  std::string name;
  for (std::size_t i = 0; i < pattern.size(); ++i) {
    const char next = pattern[i] == '%' && i + 1 < pattern.size() ? pattern[i + 1] : '\0';
    if (next == 'b') {
      name += std::to_string(block);
    } else if (next == '%') {
      name += '%';
    } else {
      name += pattern[i];
      continue;
    }
    ++i;
  }
  return name;
}

/// Source `index` of a virtual dataset that is a pattern: it stands for as many sources as there
/// are, of which HDF5 takes those before the first that is missing.
struct Series {
  hid_t creation;
  std::size_t index;
  hid_t dataset;
  const std::string& where;
  const fs::path& file;
  const std::string& name;
  const std::string& inner;

  std::string text(hsize_t block) const {
    return numbered(inner, block) + " in " + (name == "." ? file.string() : numbered(name, block));
  }

  bool holds(hsize_t block) const {
    const std::string path =
        name == "." ? file.string()
                    : find_file(numbered(name, block), file.parent_path(), "HDF5_VDS_PREFIX");
    if (path.empty()) return false;
    const hid_t opened =
        name == "." ? H5Iget_file_id(dataset) : H5Fopen(path.c_str(), H5F_ACC_RDONLY, H5P_DEFAULT);
    if (opened < 0) return false;
    const Hdf5Handle closing(opened, H5Fclose, where);
    const hid_t source = H5Dopen2(opened, numbered(inner, block).c_str(), H5P_DEFAULT);
    if (source >= 0) H5Dclose(source);
    return source >= 0;
  }

  /// How many are taken; nothing where the pattern is of another form than h5py's and HDF5's own.
  std::optional<hsize_t> taken() const {
    const Hdf5Handle place(H5Pget_virtual_vspace(creation, index), H5Sclose, where);
    const Hdf5Handle space(H5Dget_space(dataset), H5Sclose, where);
    if (H5Sis_regular_hyperslab(place.get()) <= 0) return std::nullopt;
    std::array<hsize_t, H5S_MAX_RANK> start{}, stride{}, count{}, block{}, extent{};
    H5Sget_regular_hyperslab(place.get(), start.data(), stride.data(), count.data(), block.data());
    H5Sget_simple_extent_dims(space.get(), extent.data(), nullptr);
    for (std::size_t i = 0; i < count.size(); ++i) {
      if (count[i] != H5S_UNLIMITED || stride[i] == 0) continue;
      return extent[i] <= start[i] ? 0 : (extent[i] - start[i] - 1) / stride[i] + 1;
    }
    return std::nullopt;
  }
};

/// Of a series everything must be there up to its end: what lies behind a gap HDF5 leaves out.
void require_series(const Series& series) {
  constexpr hsize_t kMostSources = 100'000, kLookedAhead = 1000;
  const std::optional<hsize_t> taken = series.taken();
  if (!taken) return;
  if (*taken > kMostSources) {
    throw InputError(
        fmt::format("{}: is virtual, with more than {} sources", series.where, kMostSources));
  }
  hsize_t first = 0;
  while (first < *taken && series.holds(first)) ++first;
  if (first < *taken || first == 0) {
    throw InputError(
        fmt::format("{}: is virtual, and its source {} is not there; put it there, or "
                    "copy the data into one file where all of it is",
                    series.where, series.text(first)));
  }
  for (hsize_t later = first + 1; later < first + kLookedAhead; ++later) {
    if (!series.holds(later)) continue;
    throw InputError(
        fmt::format("{}: is virtual, and its source {} is not there, though {} is; "
                    "HDF5 would leave out what lies behind the gap: put it there",
                    series.where, series.text(first), series.text(later)));
  }
}

void require_sources_to(int levels, hid_t dataset, const std::string& where, const fs::path& file);

/// Source `index` of a virtual dataset: the file, the dataset in it, and as many rows as are taken.
void require_source(hid_t creation, std::size_t index, int levels, hid_t dataset,
                    const std::string& where, const fs::path& file) {
  const std::string name = text_of(H5Pget_virtual_filename, creation, index, where);
  const std::string inner = text_of(H5Pget_virtual_dsetname, creation, index, where);
  if (name.find('%') != std::string::npos || inner.find('%') != std::string::npos) {
    require_series({creation, index, dataset, where, file, name, inner});
    return;
  }
  const bool same = name == ".";
  const std::string path =
      same ? file.string() : find_file(name, file.parent_path(), "HDF5_VDS_PREFIX");
  if (path.empty()) {
    throw InputError(fmt::format(
        "{}: is virtual, and its source {} is not there; HDF5 would read zeros in its place: put "
        "it there, or copy the data into one file where all of it is",
        where, name));
  }
  const std::string what = fmt::format("{}: its source {} in {}", where, inner, path);
  const Hdf5Handle opened(
      same ? H5Iget_file_id(dataset) : H5Fopen(path.c_str(), H5F_ACC_RDONLY, H5P_DEFAULT), H5Fclose,
      what);
  const Hdf5Handle source(H5Dopen2(opened.get(), inner.c_str(), H5P_DEFAULT), H5Dclose, what);
  const Hdf5Handle taken(H5Pget_virtual_srcspace(creation, index), H5Sclose, what);
  const Hdf5Handle space(H5Dget_space(source.get()), H5Sclose, what);
  require_taken(creation, index, taken.get(), space.get(), what);
  require_sources_to(levels - 1, source.get(), what, path);
}

/// Values that no source is given for are read as zeros too.
void require_covered(hid_t creation, std::size_t sources, hid_t dataset, const std::string& where) {
  const Hdf5Handle space(H5Dget_space(dataset), H5Sclose, where);
  hssize_t covered = 0;
  for (std::size_t i = 0; i < sources; ++i) {
    const Hdf5Handle part(H5Pget_virtual_vspace(creation, i), H5Sclose, where);
    const hssize_t points = H5Sget_select_npoints(part.get());
    // Of a selection without an end HDF5 does not say.
    if (points < 0 || static_cast<hsize_t>(points) == H5S_UNLIMITED) return;
    covered += points;
  }
  const hssize_t elements = H5Sget_simple_extent_npoints(space.get());
  if (covered < elements) {
    throw InputError(fmt::format("{}: is virtual, and {} of its {} values have no source", where,
                                 elements - covered, elements));
  }
}

void require_sources_to(int levels, hid_t dataset, const std::string& where, const fs::path& file) {
  if (levels == 0) throw InputError(where + ": is virtual, and so are its sources, and theirs …");
  const Hdf5Handle creation(H5Dget_create_plist(dataset), H5Pclose, where + ": no layout");
  const H5D_layout_t layout = H5Pget_layout(creation.get());
  if (layout == H5D_CONTIGUOUS) require_external(creation.get(), where, file.parent_path());
  if (layout != H5D_VIRTUAL) return;
  std::size_t sources = 0;
  if (H5Pget_virtual_count(creation.get(), &sources) < 0) {
    throw Hdf5Error(where + ": its sources cannot be listed");
  }
  for (std::size_t i = 0; i < sources; ++i) {
    require_source(creation.get(), i, levels, dataset, where, file);
  }
  require_covered(creation.get(), sources, dataset, where);
}

}  // namespace

void require_sources(std::int64_t dataset, const std::string& where, const std::string& file) {
  const Hdf5Guard guard;
  require_sources_to(kMostLevels, dataset, where, file);
}

}  // namespace thaw
