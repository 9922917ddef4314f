#include "core/models/encoder/mean_pooling_files.h"

#include <algorithm>
#include <cctype>
#include <map>
#include <nlohmann/json.hpp>

#include "core/models/encoder/encoder_model.h"

namespace thaw {
namespace {

using nlohmann::ordered_json;

/// Words in angle brackets are replaced by the family's.
constexpr const char* kCode =
    R"python("""A <STEM> that classifies a text by the mean over its tokens. Written by Thaw's export.

    transformers.pipeline("text-classification", model=FOLDER, trust_remote_code=True)
"""

import torch
from transformers import <STEM>Model, <STEM>PreTrainedModel
from transformers.modeling_outputs import SequenceClassifierOutput

INPUTS = (<INPUTS>)


class <CLASS>(<STEM>PreTrainedModel):
    def __init__(self, config):
        super().__init__(config)
        self.num_labels = config.num_labels
        self.<ENCODER> = <STEM>Model(config<ARGUMENTS>)
        self.dropout = torch.nn.Dropout(<DROPOUT>)
        self.classifier = torch.nn.Linear(config.hidden_size, config.num_labels)
        self.post_init()

    def forward(self, input_ids=None, attention_mask=None, labels=None, return_dict=None, **others):
        told = {name: value for name, value in others.items() if name in INPUTS}
        hidden = self.<ENCODER>(input_ids, attention_mask=attention_mask, return_dict=True,
                                **told).last_hidden_state
        if attention_mask is None:
            mean = hidden.mean(1)
        else:
            mask = attention_mask.unsqueeze(-1).to(hidden.dtype)
            mean = (hidden * mask).sum(1) / mask.sum(1).clamp(min=1)
        logits = self.classifier(self.dropout(mean))
        loss = None if labels is None else torch.nn.functional.cross_entropy(logits, labels.view(-1))
        output = SequenceClassifierOutput(loss=loss, logits=logits)
        return output.to_tuple() if return_dict is False else output
)python";

std::string class_of(const std::string& stem) {
  return "MeanPooled" + stem + "ForSequenceClassification";
}

std::string module_of(const std::string& stem) {
  std::string name = "modeling_mean_pooled_" + stem;
  std::transform(name.begin(), name.end(), name.begin(),
                 [](unsigned char letter) { return static_cast<char>(std::tolower(letter)); });
  return name;
}

std::string filled(std::string text, const std::map<std::string, std::string>& words) {
  for (const auto& [word, value] : words) {
    for (std::size_t at = 0; (at = text.find(word, at)) != std::string::npos; at += value.size()) {
      text.replace(at, word.size(), value);
    }
  }
  return text;
}

std::string text_of(const ordered_json& value) { return value.dump(2) + "\n"; }

}  // namespace

std::string mean_pooling_class(const std::string& stem) {
  return module_of(stem) + "." + class_of(stem);
}

std::vector<std::pair<std::string, std::string>> mean_pooling_files(const MeanPoolingCode& code,
                                                                    const std::string& stem,
                                                                    const std::string& prefix,
                                                                    const EncoderModel& model) {
  const auto module = [](int index, const char* path, const char* type) {
    return ordered_json{{"idx", index},
                        {"name", std::to_string(index)},
                        {"path", path},
                        {"type", std::string("sentence_transformers.models.") + type}};
  };
  const ordered_json modules = {module(0, "", "Transformer"), module(1, "1_Pooling", "Pooling")};
  const ordered_json pooling = {{"word_embedding_dimension", model.width()},
                                {"pooling_mode_cls_token", false},
                                {"pooling_mode_mean_tokens", true},
                                {"pooling_mode_max_tokens", false},
                                {"pooling_mode_mean_sqrt_len_tokens", false}};
  const ordered_json sentences = {{"max_seq_length", model.longest()},
                                  {"do_lower_case", false}};  // the tokenizer's own matter
  const std::string own_code = filled(kCode, {{"<STEM>", stem},
                                              {"<CLASS>", class_of(stem)},
                                              {"<ENCODER>", prefix.substr(0, prefix.find('.'))},
                                              {"<ARGUMENTS>", code.arguments},
                                              {"<INPUTS>", code.inputs},
                                              {"<DROPOUT>", code.dropout}});
  return {{module_of(stem) + ".py", own_code},
          {"1_Pooling/config.json", text_of(pooling)},
          {"sentence_bert_config.json", text_of(sentences)},
          {"modules.json", text_of(modules)}};
}

}  // namespace thaw
