"""Tests of `_sharing/` and of what stands on it."""
