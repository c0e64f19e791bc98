"""The served API against its own OpenAPI document, by schemathesis, in each role."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
SCHEMATHESIS = str(Path(sys.executable).with_name("schemathesis"))
EXAMPLES = int(os.environ.get("FORESTEER_API_EXAMPLES", "3"))
"""Cases per operation and kind; ``FORESTEER_API_EXAMPLES=20`` makes more than 10,000 requests."""

PHASES = "examples,fuzzing"
"""Each value of every field is tried only where many examples are asked for."""


@pytest.fixture
def served(tmp_path: Path) -> Iterator[str]:
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.interop.served_api", str(tmp_path)],
        cwd=HERE.parents[1],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    yield process.stdout.readline().strip()
    process.terminate()
    process.wait(10)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("role", ["viewer", "operator", "admin"])
def test_api_does_what_its_document_says(tmp_path: Path, served: str, role: str) -> None:
    phases = "all" if EXAMPLES > 3 else PHASES
    token = (tmp_path / role).read_text()
    done = subprocess.run(
        [
            SCHEMATHESIS,
            "--config-file",
            str(HERE / "schemathesis.toml"),
            "run",
            f"{served}/api/v1/openapi.json",
            "--header",
            f"Authorization: Bearer {token}",
            "--checks",
            "all",
            "--max-examples",
            str(EXAMPLES),
            # it has no end
            "--exclude-path",
            "/api/v1/stream",
            "--no-color",
            # the same cases every time, unless many are asked for
            *(["--seed", "1"] if EXAMPLES <= 3 else []),
            *([] if phases == "all" else ["--phases", phases]),
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-12_000:] + done.stderr[-2000:]
    found = re.search(r"(\d[\d,]*) generated", done.stdout)
    assert found is not None, done.stdout[-3000:]
    print(f"{role}: {found.group(0)}")
    assert int(found.group(1).replace(",", "")) > 50
