#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "core/data/split.h"

namespace thaw {

struct DatasetAttributes;
struct Fingerprint;

/// The files that `patterns` (names, or globs as of a shell: `*`, `?`, `[a-c]`) name: patterns in
/// the order given, each one's matches sorted by name.
/// Throws `InputError` for a pattern without a match, a name that is no readable file, a file named
/// twice (its samples would be drawn twice an epoch), and an empty list.
std::vector<std::string> expand_files(const std::vector<std::string>& patterns);

/// Data for training and evaluation: one or several HDF5 files read as one dataset.
///
/// The format: one HDF5 group a split. Text: `tokens` int32 [total], `offsets` int64 [N + 1],
/// `labels`; pairs also `types` int8 [total]. Images: `inputs` uint8 or float32 [N, C, H, W],
/// `labels`. Labels: int64 [N] (a class), uint8 [N, C] (0 or 1 for each class), or float32 [N] or
/// [N, K] (numbers). In their place text may have `prompt_lengths` int32 [N] (how many of a
/// sample's first tokens are given; what follows is learnt), `token_labels` int32 [total] (a class
/// for each token, -100 where it does not count), or nothing (running text); and besides `bytes`
/// int32 [N], the UTF-8 bytes of the text behind each sample's counted tokens (Note [Counted
/// tokens]), of which a split must have one. Attributes of the file, all optional: `task` (its
/// name), `classes` or `targets` (names), `mean` and `std` (a number a channel, of pixels scaled to
/// [0, 1] where they are uint8).
///
/// Opening validates everything but the values of samples, and takes no memory for a size before
/// it is checked against the file. Throws `InputError` naming file, HDF5 dataset and remedy. A
/// damaged file may crash HDF5's own library, and the process with it: run `thaw-hdf5-probe` on
/// files of unknown origin before, as the command does.
class Dataset {
 public:
  /// `files`: names as `expand_files` returns them; a split is the files' splits of that name, one
  /// after another.
  explicit Dataset(std::vector<std::string> files);
  /// Of splits that come from elsewhere, validated by who made them: see make_memory_dataset.
  Dataset(std::string name, const SampleFormat& format, std::vector<std::unique_ptr<Split>> splits,
          DatasetAttributes attributes);
  ~Dataset();
  Dataset(Dataset&&) noexcept;
  Dataset& operator=(Dataset&&) noexcept;

  const std::vector<std::string>& files() const { return files_; }
  const SampleFormat& format() const { return format_; }

  /// Names of the classes; a label is an index here, a flag's column is. Without the attribute: "0"
  /// to the largest label of any split, or to the last column. Empty where labels are numbers, or
  /// prompts' lengths.
  const std::vector<std::string>& classes() const { return classes_; }
  /// Names of the numbers to be learnt, one a column of labels; empty where nobody named them.
  const std::vector<std::string>& targets() const { return targets_; }
  /// What is learnt, as the files name it; "" where they do not. Not checked here.
  const std::string& task() const { return task_; }
  /// Of all splits.
  LabelType label_type() const { return splits_.front()->labels().type(); }
  /// Columns of labels; 1 for classes, prompts and tokens' classes.
  std::int64_t label_width() const { return splits_.front()->labels().width(); }
  /// A number a channel, or empty.
  const std::vector<double>& mean() const { return mean_; }
  const std::vector<double>& std_deviation() const { return std_; }

  /// What the files say of the tokenizer behind their tokens, by attribute: "tokenizer_sha256",
  /// "max_tokens", "vocabulary_size"; empty where they say nothing.
  const std::map<std::string, std::string>& tokens() const { return tokens_; }
  /// Adds what the file at `path` tells of itself, which is said to be that tokenizer. Throws
  /// InputError where the files name another one: Note [Tokenizers by what they do].
  void take_tokenizer(const std::string& path);

  /// Those present, in the order train, validation, test, then others by name. A split that a file
  /// calls otherwise (`val`, `dev`: see `split_meant`) has its usual name, and is found by each.
  std::vector<std::string> split_names() const;
  bool has_split(const std::string& name) const;
  /// Throws `InputError` that lists the splits present.
  Split& split(const std::string& name);
  const Split& split(const std::string& name) const;
  /// Leaves these samples (ascending, not empty) of a split, which is prepared; see narrow_split.
  /// Throws InputError where tokens count and none of theirs does.
  void narrow(const std::string& split, std::vector<std::int64_t> samples);

  /// Puts the names of others, in their order, in the place of classes (of numbers: of targets):
  /// what was number i is now number `places[i]`, in all splits; -1: none of them, for labels that
  /// nobody will look at. See core/data/label_matching.h.
  void relabel(const std::vector<std::string>& names, std::span<const std::int64_t> places);
  /// A number a channel, in the place of the files' own.
  void normalise(std::vector<double> mean, std::vector<double> std_deviation);

  /// Equal for equal format, classes, labels and sample lengths in all splits, wherever the files
  /// lie: tells a resumed run, or another rank, that it holds other data.
  Fingerprint fingerprint() const;

  /// Several lines for people (`thaw inspect`).
  std::string describe() const;

 private:
  Split* find_split(const std::string& name) const;

  std::vector<std::string> files_;
  SampleFormat format_;
  std::vector<std::string> classes_;
  std::vector<std::string> targets_;
  std::string task_;
  std::vector<double> mean_;
  std::vector<double> std_;
  std::map<std::string, std::string> tokens_;
  std::vector<std::pair<std::string, std::string>> remarks_;  // other attributes, for describe
  std::vector<std::unique_ptr<Split>> splits_;
};

}  // namespace thaw
