"""Models that come in other formats, as folders of Hugging Face's."""
