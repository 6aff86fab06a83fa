"""First floor: order the candidates with known probabilities, learn from what came of it, judge policies.

A policy tells scores and probabilities; drawing happens in one place, with dice that can be thrown
again from the record. Imports `recsys` only.
"""
