"""First floor: know the customer and the product as vectors, and find the few products that matter.

Only a cosine (`Candidate.affinity`) leaves this package for the bandit: a retrained network rotates
its space, but cosines survive. Imports `recsys` only; importing the package does not import torch.
"""
