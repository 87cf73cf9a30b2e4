"""One cell as a baseline has it, and seeds of a run: what the tests of the judge share."""

import statistics

import numpy as np

from pytest_prunecal.judge.compared import Sides
from pytest_prunecal.judge.judging import Circumstances, judge
from pytest_prunecal.judge.scale import scale_of
from pytest_prunecal.study.metric import METRICS
from pytest_prunecal.study.prior import KINDS, Noise, Share
from pytest_prunecal.study.uncertainty import Uncertainty

PRIOR = Noise(
    4, 0.4, {kind: {"default": Share(error=error)} for kind, error in zip(KINDS, (1, 2, 3), strict=True)}
)
LEVEL = 1e-4
_OF_CIRCUMSTANCES = (
    "most",
    "min_effect",
    "measured",
    "first",
    "incomparable",
    "differences",
    "changed_fails",
)


def circumstances(noise=PRIOR, level=LEVEL, **given):
    """What `auto` takes into account: arguments of `Circumstances` and of `Sides` side by side."""
    mine = {name: given.pop(name) for name in _OF_CIRCUMSTANCES if name in given}
    return Circumstances(Sides(noise, **given), level, **mine)


def judged(seeds, means, sure, tolerances=None, **given):
    """Judge a run's seeds, by default against a baseline that started from the same base network."""
    measured = {
        name: values[0] if len(values) == 1 else statistics.fmean(values) for name, values in seeds.items()
    }
    given = {"same_base": True, "share_base": (True, True), "accepted": sure, "each": seeds} | given
    return judge(measured, means, tolerances or {}, METRICS, circumstances(**given))


def accepted(each, se=0.01):
    """Mean and errors of accepted seeds, as a baseline file has them."""
    if len(each) == 1:
        return round(each[0], 4), Uncertainty(se).recorded
    sure = Uncertainty(se, statistics.stdev(each), len(each), each[0])
    return round(statistics.fmean(each), 4), sure.recorded


def looks_at(fresh, means, sure, most=16, start=1, **given):
    """Judge a cell as its item does: over ever more seeds, until it is settled. The verdict of each look."""
    verdicts, count = [], start
    while count:
        seeds = {name: list(values[:count]) for name, values in fresh.items()}
        verdicts.append(judged(seeds, means, sure, most=most, **given))
        assert verdicts[-1].more == 0 or count < verdicts[-1].more <= most
        count = verdicts[-1].more
    return verdicts


def drawn(random, name, mean, sd, seeds):
    """Trainings of a metric, Gaussian on its scale with this deviation there."""
    scale = scale_of(METRICS.get(name))
    return [
        mean + scale.sign * scale.worsening(mean, float(sd * error)) for error in random.normal(size=seeds)
    ]


def scaled_prior(name, mean, se=0.01, noise=PRIOR):
    """What the prior expects of the deviation over seeds, on the metric's scale."""
    share = noise.share("finetune", name)
    return float(np.sqrt(noise.paired + share.error**2) * se * scale_of(METRICS.get(name)).slope(mean))
