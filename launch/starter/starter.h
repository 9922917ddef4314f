#pragma once

#include <string>
#include <vector>

namespace thaw {

// Note [Starters]
// `thaw new KIND DIR` writes what a training of one's own begins with: a commented configuration,
// and the commands that make its data, check it, train and use it, as they are typed on this
// machine. A kind is a line of `starters()` and a file of its own with two texts, in which words
// between two @ stand for what the user says or what is found here.

/// What a starter is filled with.
struct StarterFacts {
  std::string thaw;          ///< the command
  std::string prepare;       ///< prepare.py
  std::string model;         ///< a Hugging Face folder; "": none was named or found, and the texts
                             ///< say `model` and how to fill it
  std::string data;          ///< the user's own file, or the name that stands for it
  std::string text_column;   ///< of a table
  std::string label_column;  ///< likewise; of a language model, what is to be written
};

/// A kind of training.
struct Starter {
  std::string name;           ///< "text"
  std::string model_folder;   ///< where the quick start puts a model for it, from the sources' root
  std::string data;           ///< the file that a user is to have, where none is named
  std::string text_column;    ///< where none is named
  std::string label_column;   ///< likewise
  std::string configuration;  ///< NAME.toml
  std::string read_me;        ///< README.md
};

Starter text_starter();
Starter images_starter();
Starter language_starter();

/// In the order of messages.
std::vector<Starter> starters();

/// A text with its words filled in. A line that begins with @model? stays, without that, where
/// there is a model; one that begins with @no-model? where there is none. Throws RunError for a
/// word that is not known.
std::string filled(const std::string& text, const StarterFacts& facts);

}  // namespace thaw
