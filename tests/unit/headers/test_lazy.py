"""Names of packages that are imported when they are asked for."""

import subprocess
import sys

import pytest

import bus
import controller.api


@pytest.mark.parametrize("package", [bus, controller.api])
def test_every_name_that_is_offered_is_there(package: object) -> None:
    for name in package.__all__:  # type: ignore[attr-defined]
        assert getattr(package, name) is getattr(package, name)
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        getattr(package, "Nothing")  # noqa: B009


def test_a_question_to_the_brain_does_not_load_the_brain() -> None:
    program = (
        "import sys; from controller.console.look import status; import controller.client;"
        " print(*sorted({'fastapi', 'numpy', 'nats', 'pydantic', 'ryu'} & sys.modules.keys()))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == []
