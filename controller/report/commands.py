"""The report's part of the ``foresteer`` command."""

from pathlib import Path

import click


@click.command()
@click.argument("run_dir", type=click.Path(path_type=Path))
def score(run_dir: Path) -> None:
    """Score a finished run: print the table, write report.json and report.html.

    RUN_DIR is what the demo wrote, or holds run.json and run.npz.
    """
    from controller.decide import SolveError
    from controller.report import (
        collect,
        load_run,
        print_table,
        save_run,
        score_run,
        write_reports,
    )
    from headers.errors import FileError

    try:
        if (run_dir / "replay.json").exists():
            save_run(collect(run_dir), run_dir)
        scored = score_run(load_run(run_dir))
        written = write_reports(scored, run_dir)
    except (FileError, SolveError, ValueError) as error:
        raise click.ClickException(str(error)) from error
    except OSError as error:
        raise click.ClickException(f"{error.filename}: {error.strerror}") from error
    print_table(scored)
    click.echo("\n" + "\n".join(str(path) for path in written))
