"""Everything the tests share starts here: one thread for numpy's sums, as `recsys` has it, before numpy is imported."""

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
