"""All checks of one network: what the program said of it against what numpy finds."""

import numpy as np
from .boxes import check_boxes
from .claims import check_claims, check_distances
from .exact import ExactNet
from .norms import check_norms


def check(job, told, tally, rng, restarts):
    job.setdefault("exact", ExactNet(job["net"]))
    parts = [lambda: check_norms(job, told, tally), lambda: check_boxes(job, told, tally, rng), lambda: check_distances(job, told, tally),
             lambda: check_claims(job, told, tally, rng, restarts)]
    with np.errstate(all="ignore"):
        for part in parts:
            try:
                part()
            except np.linalg.LinAlgError:
                tally.count("checks that numpy gave up")
