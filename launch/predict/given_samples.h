#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace thaw {

struct ModelDescription;

/// Samples that a user hands over as they are, in place of a split of a data file.
struct GivenSamples {
  std::vector<std::string> texts;
  std::vector<std::string> pairs;   ///< the second text of each, or none
  std::string file;                 ///< a table or lines of texts; "-": standard input
  std::string text_column;          ///< of a table; "": "text"
  std::string pair_column;          ///< likewise; "": "text_pair"
  std::vector<std::string> images;  ///< files, and folders of files

  bool any() const { return !texts.empty() || !file.empty() || !images.empty(); }
};

/// Throws InputError for what does not go together: samples of two kinds, pairs without texts.
void check_given(const GivenSamples& given);

/// Throws InputError where weights that describe themselves so predict no such samples: of another
/// kind, of a task that answers prompts, of pairs where single texts are given, or the other way
/// round.
void check_predicts(const GivenSamples& given, const ModelDescription& network,
                    const std::string& weights);

/// Throws InputError where the tokenizer.json at `path` is known to be another than that of
/// training: Note [Tokenizers by what they do].
void check_tokenizer_file(const std::string& path, const ModelDescription& network,
                          const std::string& weights);

/// A folder of a name of its own, removed with all that is in it. A process that is killed leaves
/// it; as its lock on it is gone with it, the next one of the same user removes it.
class SamplesFolder {
 public:
  /// In TMPDIR, else /tmp. Throws RunError where it cannot be made.
  SamplesFolder();
  ~SamplesFolder();
  SamplesFolder(const SamplesFolder&) = delete;
  SamplesFolder& operator=(const SamplesFolder&) = delete;

  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
  int lock_ = -1;
};

/// Given samples as a data file, and what is to be said of each.
class PreparedSamples {
 public:
  /// Has launch/prepare_samples.py make the file, by the code of prepare.py, as the training data
  /// were made as far as `network` tells: the same cut of tokens, size of images, normalisation.
  /// `tokenizer`: of texts. On one rank, on its main thread. Throws InputError for what cannot be
  /// read.
  PreparedSamples(const GivenSamples& given, const ModelDescription& network,
                  const std::string& tokenizer);

  /// The data file; its only split is `test`.
  std::string file() const { return file_.string(); }
  /// Of a task's prediction for a sample, the line that is written: with the sample itself behind
  /// its index, and, where classes are tokens', those of its words.
  std::string line(const std::string& prediction) const;
  /// What there is to be told of texts that were cut; "" where none was.
  std::string cut_note() const;

 private:
  SamplesFolder folder_;
  std::filesystem::path file_;
  std::vector<std::string> said_;  ///< of each sample, as JSON
  std::int64_t cut_ = 0;
  std::string most_tokens_;
};

}  // namespace thaw
