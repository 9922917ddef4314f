#include "launch/predict/given_samples.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string_view>
#include <system_error>

#include "core/base/error.h"
#include "core/base/input_text.h"
#include "core/base/json_fields.h"
#include "core/base/json_text.h"
#include "core/base/system.h"
#include "core/base/text_bytes.h"
#include "core/base/whole_file.h"
#include "core/data/identity/tokenizer_identity.h"
#include "core/models/weights/model_description.h"
#include "launch/job/python_script.h"

namespace thaw {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

constexpr std::int64_t kLargestTokenizer = 256 << 20;
constexpr std::string_view kFolderPrefix = "thaw-predict-";
/// A folder that is no older may have been made a moment ago, and not be locked yet.
constexpr std::time_t kSecondsToLock = 60;
constexpr const char* kAdvice =
    "texts and images are prepared by Python 3.10 or newer with the modules numpy, h5py and "
    "tokenizers (pillow for images): install them, or have THAW_PYTHON in the environment name one "
    "that has them";

std::string text_in(const std::map<std::string, std::string>& values, const char* key) {
  const auto found = values.find(key);
  return found == values.end() ? "" : found->second;
}

bool of_images(const ModelDescription& network) { return network.channels > 0; }
bool of_pairs(const ModelDescription& network) { return !text_in(network.tokens, "pairs").empty(); }

/// What the script is asked for.
Json request_of(const GivenSamples& given, const ModelDescription& network,
                const std::string& tokenizer) {
  Json request = {{"task", network.task}, {"outputs", network.outputs}};
  request["classes"] = network.classes;
  request["targets"] = network.targets;
  if (!given.images.empty()) {
    request["images"] = Json::array();
    for (const std::string& path : given.images) request["images"].push_back(utf8_of_bytes(path));
    request["shape"] = {network.channels, network.height, network.width};
    request["mean"] = network.mean;
    request["std"] = network.std_deviation;
    return request;
  }
  const std::string most = text_in(network.tokens, "max_tokens");
  request["tokenizer"] = utf8_of_bytes(tokenizer);
  request["max_tokens"] =
      most.empty() ? Json(nullptr) : Json(std::strtoll(most.c_str(), nullptr, 10));
  request["pairs"] = !given.pairs.empty() || of_pairs(network) || !given.pair_column.empty();
  request["types"] = text_in(network.tokens, "pairs") != "without types";
  request["columns"] = {given.text_column, given.pair_column};
  if (!given.file.empty()) {
    request["file"] = utf8_of_bytes(given.file);
    return request;
  }
  request["texts"] = Json::array();
  for (std::size_t i = 0; i < given.texts.size(); ++i) {
    Json parts = {given.texts[i]};
    if (!given.pairs.empty()) parts.push_back(given.pairs[i]);
    request["texts"].push_back(parts);
  }
  return request;
}

}  // namespace

void check_given(const GivenSamples& given) {
  const int kinds = static_cast<int>(!given.texts.empty()) + static_cast<int>(!given.file.empty()) +
                    static_cast<int>(!given.images.empty());
  if (kinds > 1) {
    throw InputError("command line: --text, --file and --images: give one of them");
  }
  if (given.pairs.size() > given.texts.size() ||
      (!given.pairs.empty() && given.pairs.size() != given.texts.size())) {
    throw InputError(
        fmt::format("command line: --text-pair: {} given for {} of --text; each text has a second "
                    "one, or none has",
                    given.pairs.size(), given.texts.size()));
  }
  const bool columns = !given.text_column.empty() || !given.pair_column.empty();
  if (columns && given.file.empty()) {
    throw InputError("command line: --text-column and --pair-column are columns of --file");
  }
  for (const std::vector<std::string>* texts : {&given.texts, &given.pairs}) {
    for (const std::string& text : *texts) {
      if (text.empty()) throw InputError("command line: --text: is empty");
      if (is_utf8(text)) continue;
      throw InputError(fmt::format("command line: --text: is not UTF-8: \"{}\"", printable(text)));
    }
  }
}

void check_predicts(const GivenSamples& given, const ModelDescription& network,
                    const std::string& weights) {
  const std::string name = printable(weights);
  if (network.says_nothing()) {
    throw InputError(fmt::format(
        "{}: does not say what it was trained for (an earlier version of Thaw wrote it, or another "
        "program), so texts and images cannot be prepared for it: make a data file (prepare.py) "
        "and give --split",
        name));
  }
  if (network.task == "causal-lm") {
    throw InputError(fmt::format(
        "{}: is a language model, which goes on from a text: thaw generate RUN --prompt TEXT",
        name));
  }
  if (given.images.empty() == of_images(network)) {
    throw InputError(of_images(network)
                         ? fmt::format("{}: was trained on images: give --images", name)
                         : fmt::format("{}: was trained on texts: give --text or --file", name));
  }
  if (of_images(network) && network.pixels == "numbers") {
    throw InputError(fmt::format(
        "{}: was trained on arrays of numbers, which files of images do not hold: make a data file "
        "of such arrays (prepare.py images) and give --split",
        name));
  }
  if (of_pairs(network) && !given.texts.empty() && given.pairs.empty()) {
    throw InputError(
        fmt::format("{}: was trained on pairs of texts: give each --text its --text-pair", name));
  }
  const bool pairs = !given.pairs.empty() || !given.pair_column.empty();
  if (pairs && network.task == "token-classification") {
    throw InputError(
        fmt::format("{}: gives words of one text a class: leave --text-pair out", name));
  }
  if (pairs && !of_pairs(network) && !network.tokens.empty()) {
    throw InputError(fmt::format(
        "{}: was trained on single texts, as far as it says: leave --text-pair out", name));
  }
}

void check_tokenizer_file(const std::string& path, const ModelDescription& network,
                          const std::string& weights) {
  const std::string text = read_input_text(path, kLargestTokenizer);
  if (may_be_one_tokenizer(tokenizer_identity(text), network.tokens)) return;
  throw InputError(fmt::format("{}: is another tokenizer than the one that {} was trained with",
                               printable(path), printable(weights)));
}

namespace {

/// Removes `folder` where a process of this user has left it.
void remove_where_left(const fs::path& folder) {
  const int lock = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (lock < 0) return;
  struct stat status {};
  if (::fstat(lock, &status) == 0 && status.st_uid == ::getuid() &&
      std::time(nullptr) - status.st_mtime > kSecondsToLock &&
      ::flock(lock, LOCK_EX | LOCK_NB) == 0) {
    std::error_code unneeded;  // nobody reads it: that it stays does no harm
    fs::remove_all(folder, unneeded);
  }
  ::close(lock);
}

}  // namespace

SamplesFolder::SamplesFolder() {
  const fs::path place = temporary_folder();
  std::error_code unread;  // then it cannot be made there either, which is told below
  for (const fs::directory_entry& each : fs::directory_iterator(place, unread)) {
    if (each.path().filename().string().starts_with(kFolderPrefix)) remove_where_left(each.path());
  }
  std::string pattern = (place / (std::string(kFolderPrefix) + "XXXXXX")).string();
  if (::mkdtemp(pattern.data()) == nullptr) {
    throw RunError(fmt::format("{}: cannot make a temporary folder: {}; TMPDIR names another place",
                               place.string(), std::strerror(errno)));
  }
  path_ = pattern;
  lock_ = ::open(path_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (lock_ >= 0) ::flock(lock_, LOCK_EX | LOCK_NB);  // where there are no locks nobody gets one
}

SamplesFolder::~SamplesFolder() {
  std::error_code ignored;
  fs::remove_all(path_, ignored);
  if (lock_ >= 0) ::close(lock_);
}

PreparedSamples::PreparedSamples(const GivenSamples& given, const ModelDescription& network,
                                 const std::string& tokenizer)
    : file_(folder_.path() / "samples.h5"), most_tokens_(text_in(network.tokens, "max_tokens")) {
  const fs::path request = folder_.path() / "request.json";
  write_whole_file(request, json_text(request_of(given, network, tokenizer)));
  std::istringstream lines(run_script({.script = "prepare_samples.py",
                                       .arguments = {request.string(), file_.string()},
                                       .own_input = given.file == "-",
                                       .advice = kAdvice,
                                       .notes_shown = true}));
  for (std::string line; std::getline(lines, line);) {
    try {
      cut_ += Json::parse(line).value("truncated", false) ? 1 : 0;
    } catch (const Json::exception& error) {
      throw RunError(fmt::format("prepare_samples.py: {}", error.what()));
    }
    said_.push_back(std::move(line));
  }
}

std::string PreparedSamples::line(const std::string& prediction) const {
  const Json predicted = Json::parse(prediction);
  const auto index = whole_number<std::size_t>(predicted.at("index"));
  Json said = Json::parse(said_.at(index));
  Json line = {{"index", index}};
  Json words = Json::array();
  if (said.contains("words")) {
    const Json& classes = predicted.at("classes");
    for (Json& word : said.at("words")) {
      const Json& place = word.at("token");
      words.push_back({{"word", word.at("word")},
                       {"class", place.is_null() ? Json(nullptr)
                                                 : classes.at(whole_number<std::size_t>(place))}});
    }
    said.erase("words");
  }
  line.update(said);
  for (const auto& [key, value] : predicted.items()) {
    if (key != "index" && (words.empty() || key != "classes")) line[key] = value;
  }
  if (!words.empty()) line["words"] = std::move(words);
  return json_text(line) + "\n";
}

std::string PreparedSamples::cut_note() const {
  if (cut_ == 0) return "";
  return fmt::format(
      "{} of {} texts had more than {} tokens, where texts were cut in training too: what is "
      "behind "
      "them was not read",
      cut_, said_.size(), most_tokens_);
}

}  // namespace thaw
