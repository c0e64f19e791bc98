"""Prints a detector's scores per folder and in all: ``python -m tests.tools.nab RESULTS``.

RESULTS holds ``folder/file.csv`` with a column ``anomaly_score``, one row per row of the series.
The benchmark is a folder or an archive: ``--corpus``, or ``nab_dev.tar.gz`` in FORESTEER_DATA. With
``--run``, the scores are first made with ``foresteer detect``.
"""

import argparse
import os
import tempfile
from pathlib import Path

from models.anomaly import BUDGET, detect_file
from tests.tools.nab.corpus import ARCHIVE, Corpus, find_output, read_scores, unpack
from tests.tools.nab.table import table


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.tools.nab", description=__doc__)
    parser.add_argument("results", type=Path)
    default = Path(os.environ.get("FORESTEER_DATA", "data")) / ARCHIVE
    parser.add_argument("--corpus", type=Path, default=default)
    parser.add_argument("--threshold", type=float, help="instead of the best for each profile")
    parser.add_argument("--run", action="store_true", help="make the scores first")
    parser.add_argument("--budget", type=float, default=BUDGET)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        whole = given.corpus.is_dir()
        corpus = Corpus(given.corpus) if whole else unpack(given.corpus, Path(folder))
        if given.run:
            for name in corpus.names():
                out = given.results / name
                out.parent.mkdir(parents=True, exist_ok=True)
                detect_file(corpus.path(name), out, given.budget)
        scores = {name: read_scores(find_output(given.results, name)) for name in corpus.names()}
        print(table(corpus, scores, given.threshold))


main()
