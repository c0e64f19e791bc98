import numpy as np
import pytest

from headers.files import TrafficMatrices, save_matrices


@pytest.fixture
def write_sets():
    """Writes the sets that a shipped model may be trained on, small and made up, into a folder."""

    def write(folder, *, geant=450, facebook=600, minutes=9000):
        rng = np.random.default_rng(1)
        for name, count, nodes in (("geant_15min", geant, 3), ("facebook_pod_b", facebook, 2)):
            tm = rng.random((count, nodes, nodes)) + 0.5
            names = tuple(f"n{i}" for i in range(nodes))
            save_matrices(
                TrafficMatrices(name, names, np.arange(count) * 900, tm), folder / f"{name}.npz"
            )
        at = np.delete(np.arange(minutes + 2) * 60, [5, 6])
        np.savez(
            folder / "worldcup98_1min.npz",
            time=at,
            value=np.arange(minutes).astype(np.uint32) % 1440 + 5,
            step_s=60,
        )

    return write
