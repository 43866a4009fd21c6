"""Thirteen reports that the rules were written with."""
