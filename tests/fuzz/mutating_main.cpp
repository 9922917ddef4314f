// A stand-in for libFuzzer where there is no clang: changes inputs at random, without knowing what
// they reach. Takes a folder of inputs and libFuzzer's own flags, as far as it has them; given a
// file, runs that one. A crash is the sanitizers' to tell; the input it came from lies by then at
// `-artifact_prefix`.

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <string_view>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

struct Settings {
  std::uint64_t runs = 0;    ///< 0: as long as `seconds`
  std::int64_t seconds = 0;  ///< 0: as many as `runs`
  std::uint64_t seed = 0;    ///< 0: another each time
  std::size_t longest = 4096;
  unsigned patience = 60;  ///< seconds that one input may take
  std::string prefix, dictionary;
  std::vector<fs::path> inputs;
};

std::string read(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

Settings settings_of(int count, char** arguments) {
  Settings settings;
  for (int i = 1; i < count; ++i) {
    const std::string argument = arguments[i];
    if (!argument.starts_with('-')) {
      settings.inputs.emplace_back(argument);
      continue;
    }
    const std::size_t equals = std::min(argument.find('='), argument.size() - 1);
    const std::string name = argument.substr(1, equals - 1), value = argument.substr(equals + 1);
    if (name == "runs") settings.runs = std::stoull(value);
    if (name == "max_total_time") settings.seconds = std::stoll(value);
    if (name == "seed") settings.seed = std::stoull(value);
    if (name == "max_len") settings.longest = std::stoull(value);
    if (name == "timeout") settings.patience = static_cast<unsigned>(std::stoul(value));
    if (name == "artifact_prefix") settings.prefix = value;
    if (name == "dict") settings.dictionary = value;
  }
  return settings;
}

/// Words of a dictionary as starting_points.py writes it: `"\x61\x62"`, a line each.
std::vector<std::string> words_of(const std::string& path) {
  std::vector<std::string> words;
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    std::string word;
    for (std::size_t i = 1; i + 4 < line.size(); i += 4) {
      word += static_cast<char>(std::stoi(line.substr(i + 2, 2), nullptr, 16));
    }
    words.push_back(word);
  }
  if (words.empty()) words = {std::string(1, '\0'), "\xff", "[", "\""};
  return words;
}

class Mutator {
 public:
  Mutator(std::vector<std::string> seeds, std::vector<std::string> words, std::uint64_t seed,
          std::size_t longest)
      : seeds_(std::move(seeds)), words_(std::move(words)), source_(seed), longest_(longest) {}

  std::string next() {
    std::string input = one_of(seeds_);
    for (std::size_t change = below(8); change > 0; --change) mutate(input);
    input.resize(std::min(input.size(), longest_));
    return input;
  }

 private:
  std::size_t below(std::size_t bound) { return source_() % bound; }
  const std::string& one_of(const std::vector<std::string>& list) {
    return list[below(list.size())];
  }

  void mutate(std::string& input) {
    const std::size_t at = below(input.size() + 1);
    switch (below(7)) {
      case 0:
        if (at < input.size()) input[at] = static_cast<char>(input[at] ^ (1 << below(8)));
        break;
      case 1:
        if (at < input.size()) input[at] = static_cast<char>(below(256));
        break;
      case 2:
        input.insert(at, one_of(words_));
        break;
      case 3: {
        const std::string& word = one_of(words_);
        input.replace(at, word.size(), word);
        break;
      }
      case 4:
        input.erase(at, std::size_t{1} << below(8));
        break;
      case 5:
        input.insert(at, input.substr(below(input.size() + 1), below(64)));
        break;
      default: {
        const std::string& other = one_of(seeds_);
        input.replace(at, std::string::npos, other, below(other.size() + 1), std::string::npos);
      }
    }
  }

  std::vector<std::string> seeds_, words_;
  std::mt19937_64 source_;
  std::size_t longest_;
};

std::vector<std::string> seeds_of(const Settings& settings) {
  std::vector<std::string> seeds;
  for (const fs::path& each : settings.inputs) {
    if (!fs::is_directory(each)) continue;
    std::vector<fs::path> files;
    for (const auto& entry : fs::directory_iterator(each)) files.push_back(entry.path());
    std::sort(files.begin(), files.end());
    for (const fs::path& file : files) seeds.push_back(read(file));
  }
  if (seeds.empty()) seeds.emplace_back();
  return seeds;
}

void run(const std::string& input) {
  LLVMFuzzerTestOneInput(reinterpret_cast<const std::uint8_t*>(input.data()), input.size());
}

}  // namespace

int main(int count, char** arguments) {
  const Settings settings = settings_of(count, arguments);
  if (settings.inputs.size() == 1 && fs::is_regular_file(settings.inputs.front())) {
    run(read(settings.inputs.front()));
    return 0;
  }
  const std::uint64_t seed = settings.seed != 0 ? settings.seed : std::random_device()();
  Mutator mutator(seeds_of(settings), words_of(settings.dictionary), seed, settings.longest);
  const fs::path artifact = settings.prefix + "last";
  const auto end = Clock::now() + std::chrono::seconds(settings.seconds);
  std::uint64_t executed = 0;
  for (const std::string& each : seeds_of(settings)) run(each);
  while (settings.runs != 0 ? executed < settings.runs : Clock::now() < end) {
    const std::string input = mutator.next();
    std::ofstream(artifact, std::ios::binary) << input;
    ::alarm(settings.patience);  // its signal ends the program
    run(input);
    ++executed;
  }
  ::alarm(0);
  fs::remove(artifact);
  std::printf("stat::number_of_executed_units: %llu\n", static_cast<unsigned long long>(executed));
  return 0;
}
