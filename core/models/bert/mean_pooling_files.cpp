#include "core/models/bert/mean_pooling_files.h"

#include <nlohmann/json.hpp>

#include "core/models/bert/bert.h"

namespace thaw {
namespace {

using nlohmann::ordered_json;

constexpr const char* kModule = "modeling_mean_pooled_bert";
constexpr const char* kClass = "MeanPooledBertForSequenceClassification";

constexpr const char* kCode =
    R"python("""A BERT that classifies a text by the mean over its tokens. Written by Thaw's export.

    transformers.pipeline("text-classification", model=FOLDER, trust_remote_code=True)
"""

import torch
from transformers import BertModel, BertPreTrainedModel
from transformers.modeling_outputs import SequenceClassifierOutput


class MeanPooledBertForSequenceClassification(BertPreTrainedModel):
    def __init__(self, config):
        super().__init__(config)
        self.num_labels = config.num_labels
        dropout = config.classifier_dropout
        self.bert = BertModel(config, add_pooling_layer=False)
        self.dropout = torch.nn.Dropout(config.hidden_dropout_prob if dropout is None else dropout)
        self.classifier = torch.nn.Linear(config.hidden_size, config.num_labels)
        self.post_init()

    def forward(self, input_ids=None, attention_mask=None, token_type_ids=None, position_ids=None,
                inputs_embeds=None, labels=None, return_dict=None, **unused):
        hidden = self.bert(input_ids, attention_mask=attention_mask, token_type_ids=token_type_ids,
                           position_ids=position_ids, inputs_embeds=inputs_embeds,
                           return_dict=True).last_hidden_state
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

std::string text_of(const ordered_json& value) { return value.dump(2) + "\n"; }

}  // namespace

std::string mean_pooling_class() { return std::string(kModule) + "." + kClass; }

std::vector<std::pair<std::string, std::string>> mean_pooling_files(const Bert& model) {
  const auto module = [](int index, const char* path, const char* type) {
    return ordered_json{{"idx", index},
                        {"name", std::to_string(index)},
                        {"path", path},
                        {"type", std::string("sentence_transformers.models.") + type}};
  };
  const ordered_json modules = {module(0, "", "Transformer"), module(1, "1_Pooling", "Pooling")};
  const ordered_json pooling = {{"word_embedding_dimension", model.config().hidden},
                                {"pooling_mode_cls_token", false},
                                {"pooling_mode_mean_tokens", true},
                                {"pooling_mode_max_tokens", false},
                                {"pooling_mode_mean_sqrt_len_tokens", false}};
  const ordered_json sentences = {{"max_seq_length", model.config().longest},
                                  {"do_lower_case", false}};  // the tokenizer's own matter
  return {{std::string(kModule) + ".py", kCode},
          {"1_Pooling/config.json", text_of(pooling)},
          {"sentence_bert_config.json", text_of(sentences)},
          {"modules.json", text_of(modules)}};
}

}  // namespace thaw
