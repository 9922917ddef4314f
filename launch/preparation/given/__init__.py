"""Samples that are handed over as they are, for `thaw predict`."""
