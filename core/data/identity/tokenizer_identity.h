#pragma once

#include <map>
#include <string>
#include <string_view>

namespace thaw {

// Note [Tokenizers by what they do]
// The program reads tokens, never texts; the tokenizer that made them is a file beside it all,
// which an export carries along. Another one there gives every word another meaning, without a
// word. So prepare.py writes into its files the SHA-256 of the tokenizer.json that it used, and
// that of what in it decides a text's tokens, which is the same for a file that another program has
// written again. Training puts both into the weights; a tokenizer that a configuration names is
// held against them, and where the data say nothing, it is what training remembers.

/// Of a tokenizer.json, as the attributes of data files tell it: "tokenizer_sha256" and
/// "tokenizer_function" (launch/preparation/text/tokens.py). The second is missing where the text
/// is no JSON object. Pure.
std::map<std::string, std::string> tokenizer_identity(std::string_view text);

/// Whether the attributes `one` and `other` can be those of one tokenizer: by its function, where
/// both tell that, else by its file; where neither is told by both, they can. Pure.
bool may_be_one_tokenizer(const std::map<std::string, std::string>& one,
                          const std::map<std::string, std::string>& other);

/// SHA-256 (FIPS 180-4) of bytes, in hexadecimal.
std::string sha256(std::string_view bytes);

}  // namespace thaw
