"""Texts: tables of them, tokens, and WordNet's glosses."""
