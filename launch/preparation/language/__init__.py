"""Data of language models: prompts and completions, running text, tagged tokens."""
