"""The negative control: answers falsified one kind at a time, which the checks must notice."""

import numpy as np
from .checks import check
from .claims import known_distances
from .tally import Tally


def each(told, ending, change, of=lambda name: True):
    """A copy of the answers with those of an ending changed."""
    return {name: change(value.copy()) if name.endswith(ending) and of(name) else value for name, value in told.items()}


def shrunk(told, share):
    """Boxes drawn in around their middles."""
    found = dict(told)
    for name in told:
        if ".box." in name and name.endswith(".lower"):
            low, high = told[name], told[name[:-5] + "upper"]
            found[name], found[name[:-5] + "upper"] = low + (high - low) * (1 - share) / 2, high - (high - low) * (1 - share) / 2
    return found


def more_masked(told):
    """One more neuron called constant for each sample."""
    def change(mask):
        for row in mask:
            if row.any():
                row[np.argmax(row)] = 0
        return mask
    return each(each(told, ".columns", change), ".rows", change)


def past(jobs, told, share):
    """Radii past the exact distance."""
    found = dict(told)
    for job in jobs:
        name, radii = f"{job['number']}.radius", []
        for b, radius in enumerate(told.get(name, [])):
            known = known_distances(job, b) if radius > 0 else None
            distance = next((d for d, _ in known or [] if radius <= d < np.inf), None)
            radii.append(share * distance if distance else radius)
        if radii:
            found[name] = np.array(radii)
    return found


def self_test(jobs, told, rng, restarts):
    """0 where every falsification was noticed, and nothing else; else 1."""
    plain = Tally()
    for job in jobs:
        check(job, told, plain, rng, restarts)
    print(f"nothing falsified: {len(plain.violations)} violations")
    with np.errstate(all="ignore"):
        radii = past(jobs, told, 1.1)
    others = tuple(f"{job['number']}." for job in jobs if job["net"].mode != "affine")
    attacks = {name: value for name, value in radii.items() if not name.startswith(others)}
    margins = each(told, ("margins.box", "margins.half", "margins.zero"), lambda v: v + 0.01 * np.abs(v))
    trials = [
        ("norm", "upper norms 0.1 % lower", each(told, ".upper", lambda v: v * 0.999, lambda n: ".norm." in n)),
        ("norm lower", "lower norms 1 % higher", each(told, ".lower", lambda v: v * 1.01, lambda n: ".norm." in n)),
        ("box", "boxes 20 % smaller", shrunk(told, 0.8)),
        ("ball", "balls 5 % smaller", each(told, ".radius", lambda v: v * 0.95, lambda n: ".box." in n)),
        ("features", "balls before the last layer 30 % smaller", each(told, ".features.radius", lambda v: v * 0.7)),
        ("mask", "one more neuron called constant", more_masked(told)),
        ("local norm", "local norms 0.2 % lower", each(told, ".upper", lambda v: v * 0.998, lambda n: ".local." in n)),
        ("lipschitz", "local Lipschitz bounds 5 % lower", each(told, ".lipschitz", lambda v: v * 0.95)),
        ("distance", "radii 10 % past the exact distance", radii),
        ("attack", "the same, of affine networks, seen by the attack", attacks),
        ("attack", "certified margins 1 % of themselves higher", margins),
        ("attack", "radii of the cascade tenfold", each(told, ".cascade", lambda v: v * np.array([1, 0, 10, 10.0]))),
    ]
    missed = len(plain.violations)
    for kind, text, answers in trials:
        tally = Tally()
        for job in jobs:
            check(job, answers, tally, rng, restarts)
        caught = [v for v in tally.violations if v["kind"] == kind]
        print(f"{'noticed' if caught else 'MISSED '}  {text}: {len(caught)} violations of {len(set(v['net'] for v in caught))} networks")
        missed += not caught
    print("self-test passed" if not missed else "self-test FAILED")
    return 1 if missed else 0
