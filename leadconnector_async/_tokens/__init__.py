"""Stores of tokens beside those of `token_stores`: the keyring, and databases that processes share."""
