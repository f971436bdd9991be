"""Tests of one package; the layout mirrors the library."""
