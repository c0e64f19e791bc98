"""The ``predictor`` command of ``foresteer``: a worker that forecasts for the brain."""

from pathlib import Path

import click


@click.command()
@click.option("--instance", type=click.Path(path_type=Path), help="The instance's directory.")
@click.option("--name", default="", help="What the worker is called; host and process by default.")
@click.option(
    "--model",
    type=click.Path(path_type=Path, dir_okay=False),
    default=None,
    help="ONNX file to forecast with instead of the shipped one.",
)
def predictor(instance: Path | None, name: str, model: Path | None) -> None:
    """Forecast for the brain; start as many as there are processors to spare."""
    import asyncio
    import signal

    from bus import Bus, BusError, Instance, InstanceError, logs
    from controller.predict.worker import Worker, serve
    from models import Ewma, LastValue, ModelError, load_model, load_shipped_model

    async def work() -> None:
        forecasters = [LastValue(), Ewma(), load_model(model) if model else load_shipped_model()]
        worker = Worker(forecasters, name)
        bus = await Bus.connect(Instance.find(instance).bus_address(), worker.name)
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        await serve(bus, worker, stop)

    logs.set_up()
    try:
        asyncio.run(work())
    except (BusError, InstanceError, ModelError) as error:
        raise click.ClickException(str(error)) from error
