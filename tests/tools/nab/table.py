"""A table of scores: one line per profile, one column per folder."""

from collections.abc import Mapping

from tests.tools.nab.corpus import Corpus
from tests.tools.nab.scoring import Array, Gains, best_threshold, gains_of, normalised


def table(corpus: Corpus, scores: Mapping[str, Array], threshold: float | None = None) -> str:
    """Return normalised scores; each profile's best threshold for all series if none is given."""
    folders = sorted({name.split("/")[0] for name in scores})
    windows = {name: corpus.windows(name) for name in scores}
    lines = [f"{'profile':<20} {'threshold':>9} {'all':>6}  " + "  ".join(folders)]
    for label, profile in corpus.profiles().items():
        gains = {name: gains_of(scores[name], windows[name], profile) for name in scores}
        level = best_threshold(gains.values())[0] if threshold is None else threshold
        raw = {name: raw_score(gains[name], level) for name in scores}
        cells = []
        for folder in folders:
            names = [name for name in scores if name.startswith(f"{folder}/")]
            count = sum(len(windows[name]) for name in names)
            total = sum(raw[name] for name in names)
            # a folder without anomalies has no perfect detector to compare with
            cell = f"{normalised(total, count, profile):.1f}" if count else f"{total:+.2f} raw"
            cells.append(f"{cell:>{len(folder)}}")
        count = sum(len(found) for found in windows.values())
        every = normalised(sum(raw.values()), count, profile)
        lines.append(f"{label:<20} {level:>9.4f} {every:>6.1f}  " + "  ".join(cells))
    return "\n".join(lines)


def raw_score(gains: Gains, threshold: float) -> float:
    """Return a series' raw score at a threshold."""
    return gains.start + float(gains.gains[gains.levels >= threshold].sum())
