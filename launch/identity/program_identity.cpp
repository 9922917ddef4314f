#include "launch/identity/program_identity.h"

#include <ATen/Version.h>
#include <elf.h>
#include <fmt/format.h>
#include <link.h>
#include <torch/version.h>

#include <cstddef>
#include <cstring>
#include <filesystem>
#include <map>

#include "launch/command/version.h"

namespace thaw {
namespace {

/// The name of the object in the process that is the program itself.
constexpr const char* kSelf = "thaw";

/// The build id among the notes at `notes`; "" where there is none.
std::string build_id_in(const char* notes, std::size_t size) {
  const auto padded = [](std::size_t bytes) { return (bytes + 3) / 4 * 4; };
  while (size >= sizeof(ElfW(Nhdr))) {
    ElfW(Nhdr) note;
    std::memcpy(&note, notes, sizeof(note));
    const std::size_t name = sizeof(note);
    const std::size_t content = name + padded(note.n_namesz);
    const std::size_t end = content + padded(note.n_descsz);
    if (end > size) break;
    if (note.n_type == NT_GNU_BUILD_ID && note.n_namesz == 4 &&
        std::memcmp(notes + name, "GNU", 4) == 0) {
      std::string id;
      for (std::size_t i = 0; i < note.n_descsz; ++i) {
        id += fmt::format("{:02x}", static_cast<unsigned char>(notes[content + i]));
      }
      return id;
    }
    notes += end;
    size -= end;
  }
  return "";
}

/// Of a file that was linked without an id: its size, which is better than nothing.
std::string id_of_file(const char* path) {
  std::error_code error;
  const auto size = std::filesystem::file_size(*path == '\0' ? "/proc/self/exe" : path, error);
  return error ? "unknown" : fmt::format("without an id, {} bytes", size);
}

/// For dl_iterate_phdr: notes this object's id, if it is the program or a library that it computes
/// with.
int note_build(dl_phdr_info* object, std::size_t /*size*/, void* found) {
  auto& builds = *static_cast<std::map<std::string, std::string>*>(found);
  const bool self = *object->dlpi_name == '\0' && builds.empty();  // the program comes first
  const std::string file = std::filesystem::path(object->dlpi_name).filename().string();
  const bool counts = self || file.starts_with("libthaw") || file.starts_with("libtorch") ||
                      file.starts_with("libc10");
  if (!counts) return 0;
  std::string id;
  for (int i = 0; i < object->dlpi_phnum && id.empty(); ++i) {
    const ElfW(Phdr)& header = object->dlpi_phdr[i];
    if (header.p_type != PT_NOTE) continue;
    id = build_id_in(reinterpret_cast<const char*>(object->dlpi_addr + header.p_vaddr),
                     header.p_memsz);
  }
  builds[self ? kSelf : file] = id.empty() ? id_of_file(object->dlpi_name) : id;
  return 0;
}

/// The version that the loaded library says of itself: among its settings when it was built.
std::string torch_version() {
  const std::string settings = at::show_config();
  constexpr std::string_view kKey = "TORCH_VERSION=";
  const std::size_t found = settings.find(kKey);
  if (found == std::string::npos) return TORCH_VERSION;
  const std::size_t begin = found + kKey.size();
  return settings.substr(begin, settings.find_first_of(", \n", begin) - begin);
}

}  // namespace

Facts program_facts() {
  std::map<std::string, std::string> builds;
  dl_iterate_phdr(note_build, &builds);
  Facts facts = {{kProgramSubject, "version", thaw_version()},
                 {kTorchSubject, "version", fact_value(torch_version())}};
  for (const auto& [file, id] : builds) {
    const bool torch = file.starts_with("libtorch") || file.starts_with("libc10");
    facts.push_back({torch ? kTorchSubject : kProgramSubject, "build of " + file, id});
  }
  return facts;
}

}  // namespace thaw
