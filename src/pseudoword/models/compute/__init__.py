"""How a frozen model computes: the same results with less memory and less work.

Of pseudoword, it imports the ground floor only.
"""
