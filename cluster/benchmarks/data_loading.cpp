// How many samples a second the training loader yields, by layout of the data file.
//
//   data_loading [SAMPLES]      16384 by default; writes up to 10 SAMPLES * 27 KB below $TMPDIR
//
// Every figure is that of one epoch in random order, after one to warm the page cache: what a step
// could be fed with at most, on one reading thread, not what a training loop that computes on the
// same cores would see.
#include <fmt/format.h>
#include <hdf5.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <exception>
#include <filesystem>
#include <random>
#include <string>
#include <vector>

#include "core/base/stopwatch.h"
#include "core/data/dataset.h"
#include "core/data/hdf5/hdf5_handle.h"
#include "core/data/loading/training_loader.h"

namespace thaw {
namespace {

namespace fs = std::filesystem;

using Shape = std::vector<hsize_t>;

struct Layout {
  std::string name;
  Shape chunk;  ///< empty: contiguous
  int gzip = 0;
  bool shuffle = false;
};

struct Case {
  Layout layout;
  std::string cache;
  bool augment = false;
};

void write_array(hid_t file, const std::string& name, hid_t type, const Shape& shape,
                 const void* values, const Layout& layout) {
  const Hdf5Handle links(H5Pcreate(H5P_LINK_CREATE), H5Pclose, name);
  H5Pset_create_intermediate_group(links.get(), 1);
  const Hdf5Handle creation(H5Pcreate(H5P_DATASET_CREATE), H5Pclose, name);
  if (!layout.chunk.empty()) {
    H5Pset_chunk(creation.get(), static_cast<int>(layout.chunk.size()), layout.chunk.data());
  }
  if (layout.shuffle) H5Pset_shuffle(creation.get());
  if (layout.gzip > 0) H5Pset_deflate(creation.get(), layout.gzip);
  const Hdf5Handle space(H5Screate_simple(static_cast<int>(shape.size()), shape.data(), nullptr),
                         H5Sclose, name);
  const Hdf5Handle dataset(
      H5Dcreate2(file, name.c_str(), type, space.get(), links.get(), creation.get(), H5P_DEFAULT),
      H5Dclose, name);
  if (H5Dwrite(dataset.get(), type, H5S_ALL, H5S_ALL, H5P_DEFAULT, values) < 0) {
    throw Hdf5Error(name + ": cannot be written");
  }
}

/// Smooth images with a little noise, so that they compress about as photographs do.
std::vector<std::uint8_t> make_images(hsize_t samples, hsize_t size) {
  std::vector<std::uint8_t> images(samples * 3 * size * size);
  std::minstd_rand random(1);
  for (std::size_t i = 0; i < images.size(); ++i) {
    images[i] = static_cast<std::uint8_t>(i / size * 5 + i % size + random() % 8);
  }
  return images;
}

void write_images(const std::string& path, hsize_t samples, hsize_t size, const Layout& layout) {
  const Hdf5Handle file(H5Fcreate(path.c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT), H5Fclose,
                        path);
  const std::vector<std::uint8_t> images = make_images(samples, size);
  write_array(file.get(), "/train/inputs", H5T_STD_U8LE, {samples, 3, size, size}, images.data(),
              layout);
  const std::vector<std::int64_t> labels(samples);
  write_array(file.get(), "/train/labels", H5T_STD_I64LE, {samples}, labels.data(), {});
}

void write_texts(const std::string& path, hsize_t samples) {
  const Hdf5Handle file(H5Fcreate(path.c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT), H5Fclose,
                        path);
  constexpr hsize_t kTokens = 16;
  const std::vector<std::int32_t> tokens(samples * kTokens, 7);
  std::vector<std::int64_t> offsets(samples + 1);
  for (hsize_t i = 0; i <= samples; ++i) offsets[i] = static_cast<std::int64_t>(i * kTokens);
  const std::vector<std::int64_t> labels(samples);
  write_array(file.get(), "/train/tokens", H5T_STD_I32LE, {tokens.size()}, tokens.data(), {});
  write_array(file.get(), "/train/offsets", H5T_STD_I64LE, {offsets.size()}, offsets.data(), {});
  write_array(file.get(), "/train/labels", H5T_STD_I64LE, {samples}, labels.data(), {});
}

/// One line of the table.
void measure(const std::string& what, const std::string& path, const Case& one) {
  Dataset dataset({path});
  Split& split = dataset.split("train");
  const Stopwatch preparing;
  split.prepare({.mode = one.cache});
  const double prepare_seconds = preparing.seconds();
  TrainingLoader loader(
      dataset, {.batch = 256, .crop_padding = one.augment ? 4 : 0, .horizontal_flip = one.augment});
  const auto epoch = [&] {
    for (std::int64_t seen = 0; seen < split.size();) seen += loader.next().global.size();
  };
  epoch();
  const Stopwatch watch;
  const std::clock_t clock = std::clock();
  epoch();
  const double seconds = watch.seconds();
  const double processor_seconds = static_cast<double>(std::clock() - clock) / CLOCKS_PER_SEC;
  const auto samples = static_cast<double>(split.size());
  fmt::print("| {} | {} | {} | {} | {:.2f} | {:.0f} | {:.1f} |\n", what, one.layout.name, one.cache,
             one.augment ? "crop, flip" : "", prepare_seconds, samples / seconds,
             1e6 * processor_seconds / samples);
  std::fflush(stdout);
}

void measure_images(const fs::path& folder, hsize_t samples, hsize_t size) {
  const Layout contiguous{"contiguous", {}};
  const Layout whole{"chunks of 64 images", {64, 3, size, size}};
  const Layout compressed{"chunks of 64 images, gzip", {64, 3, size, size}, 4};
  // What h5py chooses by itself spreads an image over some dozen chunks.
  const Layout scattered{"h5py's chunks", {samples / 32, 1, size / 4, size / 4}};
  const Layout everything{
      "h5py's chunks, gzip, shuffle", {samples / 32, 1, size / 4, size / 4}, 4, true};
  const std::vector<Case> cases = {{contiguous, "auto"},
                                   {contiguous, "auto", true},
                                   {whole, "memory"},
                                   {whole, "off"},
                                   {compressed, "memory"},
                                   {compressed, "off"},
                                   {scattered, "memory"},
                                   {everything, "memory"},
                                   {everything, folder / "cache"},
                                   {everything, folder / "cache"}};
  std::string written;
  const std::string path = folder / "images.h5";
  for (const Case& one : cases) {
    if (one.layout.name != written) write_images(path, samples, size, one.layout);
    written = one.layout.name;
    measure(fmt::format("3 x {} x {}", size, size), path, one);
  }
}

int run(hsize_t samples) {
  const fs::path folder =
      fs::temp_directory_path() / fmt::format("thaw-data-loading-{}", ::getpid());
  fs::create_directories(folder);
  fmt::print(
      "| samples | layout | data.cache | augmented | prepare, s | samples/s | CPU us a sample |\n");
  fmt::print("| --- | --- | --- | --- | ---: | ---: | ---: |\n");
  int status = 0;
  try {
    write_texts(folder / "texts.h5", samples);
    measure("16 tokens", folder / "texts.h5", {{"contiguous", {}}, "auto"});
    for (const hsize_t size : {32, 96}) measure_images(folder, samples, size);
  } catch (const std::exception& error) {
    fmt::print(stderr, "{}\n", error.what());
    status = 3;
  }
  fs::remove_all(folder);
  return status;
}

}  // namespace
}  // namespace thaw

int main(int argc, char** argv) {
  const long samples = argc > 1 ? std::atol(argv[1]) : 16384;
  if (argc > 2 || samples < 256) {
    fmt::print(stderr, "usage: {} [SAMPLES], at least 256\n", argv[0]);
    return 2;
  }
  return thaw::run(static_cast<hsize_t>(samples));
}
