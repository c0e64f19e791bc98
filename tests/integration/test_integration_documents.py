"""The commands of the README and the tutorial, run as they are written, from a fresh copy.

The copy has the project's tracked files only. It is mounted where the project is, in a mount
namespace of its own, with the virtual environment that is there already.
"""

import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
READY_S = 90
"""What the demo may take until its first ticks, on a busy machine."""

BEGIN = """set -eu
mount --bind {root}/.venv {copy}/.venv
mount --rbind {copy} {root}
cd {root}
# root has no use for it, and a small machine may not have it
mkdir -p out/bin
printf '#!/bin/sh\\nexec env "$@"\\n' > out/bin/sudo
chmod +x out/bin/sudo
PATH=$PWD/out/bin:$PATH
(exec {demo}) > out/demo.log 2>&1 &
demo=$!
trap 'kill -INT $demo; wait $demo || :; cat out/demo.log' EXIT TERM
for _ in $(seq {looks}); do
    grep -q '^tick ' out/demo.log && break
    sleep .5
done
# the README means the default instance
mkdir -p /run/foresteer
ln -s $PWD/out/tutorial/instance /run/foresteer/default
cat > first.yaml <<'END'
{policy}END
"""


def fences(path: Path, language: str, *, under: str = "") -> list[str]:
    """Return a document's fenced blocks of a language, those under one heading or all."""
    text = path.read_text()
    if under:
        text = re.split(r"^## ", text.split(f"## {under}\n", 1)[1], flags=re.MULTILINE)[0]
    return [body for kind, body in FENCE.findall(text) if kind == language]


def fresh_copy(path: Path) -> None:
    """Copy what is tracked, as it is in the working tree, and nothing else."""
    names = subprocess.run(
        ["git", "-c", f"safe.directory={ROOT}", "ls-files", "-z", "--cached", "--others",
         "--exclude-standard"],
        cwd=ROOT, capture_output=True, check=True,
    ).stdout.decode()  # fmt: skip
    for name in filter(None, names.split("\0")):
        if (ROOT / name).is_file():
            (path / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, path / name)
    (path / ".venv").mkdir()
    # as the virtual environment, what set-up fetched: there is no way out from here
    made = Path("controller") / "api" / "vendor"
    shutil.copytree(ROOT / made, path / made, dirs_exist_ok=True)
    (path / "build" / "page").mkdir(parents=True)


def first_policy() -> str:
    """Return the first example of the policies' page, for two locations that the demo has."""
    example = fences(ROOT / "docs" / "policies.md", "yaml")[0]
    return example.replace("[X]", "[NYCMng]").replace("[Y]", "[LOSAng]")


def script(copy: Path) -> str:
    """Return one shell script of everything: the tutorial, then what the README adds to it."""
    tutorial = fences(ROOT / "docs" / "tutorial.md", "sh")
    demo, rest = tutorial[0], tutorial[1:]
    readme = [
        *fences(ROOT / "README.md", "", under="Ask, change, stand still"),
        "sudo .venv/bin/foresteer thaw\n",
        *fences(ROOT / "README.md", "", under="Policies and services"),
    ]
    parts = [
        BEGIN.format(
            root=shlex.quote(str(ROOT)),
            copy=shlex.quote(str(copy)),
            demo=demo.strip(),
            looks=2 * READY_S,
            policy=first_policy(),
        )
    ]
    for number, body in enumerate([*rest, *readme]):
        parts.append(f"echo '=== {number}'\n{body}")
    return "".join(parts)


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What all the commands print, one after the other."""
    copy = tmp_path_factory.mktemp("fresh")
    fresh_copy(copy)
    # into a file: what goes on in the background would hold a pipe open
    log = copy.with_suffix(".log")
    with log.open("w") as out:
        child = subprocess.Popen(
            ["unshare", "--mount", "--propagation=private", "bash", "-c", script(copy)],
            stdout=out,
            stderr=subprocess.STDOUT,
        )
        try:
            status = child.wait(280)
        except subprocess.TimeoutExpired:
            child.terminate()
            status = child.wait(20)
    text = log.read_text()
    assert status == 0, text
    return text


def test_tutorial_leads_from_nothing_to_a_policy_that_is_applied_and_explained(said: str) -> None:
    assert re.search(r"^well: abilene", said, re.MULTILINE)
    assert "+ spare-new-york: divert 50 % at NYCMng to LOSAng" in said
    assert re.search(r"^~ web from \w+: 100 % ny -> 50 % la, 50 % ny", said, re.MULTILINE)
    assert "version 1 is in force" in said
    assert re.search(r"^  Rule spare-new-york: divert 50 % at NYCMng", said, re.MULTILINE)
    assert re.search(r"^NYCMng>LOSAng in decision \d+:", said, re.MULTILINE)
    assert "version 0" in said
    assert "FROZEN" in said
    assert "Traceback" not in said


def test_readme_s_requests_and_policies_are_taken(said: str) -> None:
    assert re.search(r"^circuit \d+ video: .*NYCMng", said, re.MULTILINE)
    assert re.search(r'"name": ?"calls"', said)
    assert '"status":4' not in said.replace(" ", "")
    assert "service db: 2 instances" in said
    assert "interrupted: winding up" in said


def test_readme_s_network_file_is_one(tmp_path: Path) -> None:
    files = fences(ROOT / "README.md", "json")
    network = next(body for body in files if '"locations"' in body)
    (tmp_path / "network.json").write_text(network)
    command = [
        str(ROOT / ".venv/bin/foresteer"),
        "network",
        "check",
        str(tmp_path / "network.json"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
