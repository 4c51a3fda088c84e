"""What a word is in a regular expression, in any script: letters, digits, _, and the marks that follow them.

Python's ``\\w`` lacks combining marks (Unicode categories Mn and Mc), with which Hindi, Tamil and others write vowels,
and which letters with accents become when they are decomposed.
"""

import unicodedata

_PLACES = (*range(0x300, 0x1E00), *range(0x20D0, 0x2100), *range(0xA800, 0xAC00))
MARKS = "".join(mark for mark in map(chr, _PLACES) if unicodedata.category(mark) in ("Mn", "Mc"))
"""Combining marks, for the inside of a character class."""
WORD = rf"\w+(?:[{MARKS}]+\w*)*"
