"""Ground floor: the record and its words.

What all floors share is not a model but a record: a decision, what was seen, what was drawn with
what probability, and what came of it. A file enters here only if two upper packages need it, or if
the app and a notebook must get the same number from it. Imports nothing else of ours.
"""
