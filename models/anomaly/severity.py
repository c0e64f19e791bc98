"""One scale for everything that may be wrong with a series: from 0 (none) to 5.

A severity is made of two things: how certain it is that something is (or will be) wrong, a
probability from 0 to 1, and how far things go then, an extent from 0 (just so) without an upper
bound (1: as far again as what it is measured in). Certain and slight is 2.5, certain and extreme
is 5, and what is improbable stays low however far it would go::

    severity = 5 · probability · (1 + extent / (1 + extent)) / 2

==========  ===========================================================
0           none
up to 1     slight: improbable, or known only to be possible
1 to 2      notable: as likely as not
2 to 3      serious: likely, or certain and slight
3 to 4      severe: certain and large
4 to 5      extreme: certain, and several times what is usual
==========  ===========================================================
"""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

SEVERITY_MAX = 5.0
"""Certain and extreme."""


def severity(probability: Array, extent: Array) -> Array:
    """Return severities [...] from 0 to 5; never falling in either, NaN counts as 0."""
    certain = np.clip(np.nan_to_num(probability, nan=0.0), 0.0, 1.0)
    far = np.maximum(np.nan_to_num(extent, nan=0.0, posinf=np.inf, neginf=0.0), 0.0)
    result: Array = SEVERITY_MAX * certain * (1.0 - 0.5 / (1.0 + far))
    return result
