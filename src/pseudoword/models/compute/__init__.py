"""How a frozen model computes: the same results with less memory and less work.

Imports nothing else of pseudoword.
"""
