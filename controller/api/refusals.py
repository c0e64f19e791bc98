"""Refusals of the brain as problems."""

from collections.abc import Iterator
from contextlib import contextmanager

from fastapi import HTTPException

from controller.errors import RequestError
from controller.policies import PolicyError


@contextmanager
def refusals() -> Iterator[None]:
    """Turn what cannot be had into a problem.

    422 for a policy document that is wrong, 404 for what is not there, else 409.
    """
    try:
        yield
    except PolicyError as error:
        raise HTTPException(422, str(error)) from error
    except RequestError as error:
        raise HTTPException(404 if error.missing else 409, str(error)) from error
