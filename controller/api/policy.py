"""The API of policies and services: versions, what they would change, what they came to."""

from dataclasses import asdict
from typing import Annotated, Any, Protocol

from fastapi import APIRouter, HTTPException, Path, Query, Request
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, ConfigDict, Field

from controller.api.network import Cursor, Limit
from controller.api.pages import cut
from controller.api.refusals import refusals
from controller.api.schemas import (
    AnyBody,
    DocumentText,
    RulingsBody,
    ServicesBody,
    VersionBody,
    VersionsBody,
    answers,
)
from controller.loop import Loop
from controller.policies import PolicyDesk
from controller.policies.document import to_text
from controller.policies.versions import Version
from controller.state import Instance, Service

Name = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[^\s/][^\n\t/]*$")]
Named = Annotated[str, Path(min_length=1, max_length=64)]
Label = Annotated[str, Field(max_length=64)]
Address = Annotated[str, Field(min_length=2, max_length=45)]


class DocumentBody(BaseModel):
    """A policy document: as YAML ``text``, or its ``content`` as values."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        json_schema_extra={"examples": [{"text": "global: {}\n", "name": "night.yaml"}]},
    )

    text: str | None = Field(None, max_length=900_000)
    content: dict[str, Any] | None = None
    name: str = Field("policies", min_length=1, max_length=200)

    def yaml(self) -> str:
        """Return the document as YAML; exactly one of both is given."""
        if (self.text is None) == (self.content is None):
            raise HTTPException(422, "Give either text or content.")
        return self.text if self.text is not None else to_text(self.content or {})


class NewVersion(DocumentBody):
    """A document to apply; ``expected_version``: what it was made against."""

    comment: str = Field("", max_length=1000)
    expected_version: int | None = Field(None, ge=0)


class Rollback(BaseModel):
    """The version whose document is to be in force again; 0: none."""

    model_config = ConfigDict(extra="forbid", strict=True)

    version: int = Field(ge=0)
    expected_version: int | None = Field(None, ge=0)


class InstanceBody(BaseModel):
    """An instance of a service; see controller.state.Instance."""

    model_config = ConfigDict(extra="forbid", strict=True)

    name: Name
    location: Name
    address: Address
    capacity: float = Field(1.0, gt=0, le=1e6, allow_inf_nan=False)
    healthy: bool = True


class ServiceBody(BaseModel):
    """A service; see controller.state.Service."""

    model_config = ConfigDict(extra="forbid", strict=True)

    address: Address
    protocol: int = Field(6, ge=0, le=255)
    port: int = Field(ge=1, le=65535)
    instances: list[InstanceBody] = Field([], max_length=256)
    labels: dict[Label, Label] = Field(default_factory=dict, max_length=32)
    dscp: int | None = Field(None, ge=0, le=63)

    def value(self, name: str) -> Service:
        """Return what the decision takes."""
        instances = tuple(Instance(**one.model_dump()) for one in self.instances)
        fields = self.model_dump(exclude={"instances"})
        return Service(name, instances=instances, **fields)


class PolicyOperations(Protocol):
    """What this API needs of the brain."""

    policy_desk: PolicyDesk
    loop: Loop


def policy_router(brain: PolicyOperations) -> APIRouter:
    """Return the routes of policies, rulings and services."""
    router = APIRouter(default_response_class=JSONResponse)
    desk = brain.policy_desk
    _documents(router, desk)
    _services(router, desk)

    @router.get(
        "/policies/rulings",
        summary="The rules in force and the refused ones, and why",
        responses=answers(RulingsBody),
    )
    async def rulings() -> Any:
        plan = brain.loop.plan
        if plan is None:
            raise HTTPException(503, "There is no plan yet; ask again soon.", {"Retry-After": "1"})
        return JSONResponse({
            "plan": plan.number,
            "version": plan.ruling.layers,
            "active": [asdict(one) for one in plan.ruling.active],
            "refused": [asdict(one) for one in plan.ruling.refused],
            "notes": list(plan.ruling.notes),
            "services": [
                {
                    "service": one.service, "source": one.src, "reason": one.reason,
                    "shares": dict(zip(one.instances, one.shares, strict=True)),
                }
                for one in plan.services
            ],
        })  # fmt: skip

    return router


def _documents(router: APIRouter, desk: PolicyDesk) -> None:
    @router.get(
        "/policies", summary="The policy document in force", responses=answers(DocumentText)
    )
    async def show() -> Any:
        shelf = desk.book.shelf
        last = shelf.versions[-1] if shelf.versions else Version(0, "", "", 0.0)
        return JSONResponse({**_version(last), "text": last.text})

    @router.put(
        "/policies", summary="Apply a document as the next version", responses=answers(VersionBody)
    )
    async def apply(body: NewVersion, request: Request) -> Any:
        with refusals():
            made = await desk.apply(
                body.yaml(), author=_author(request), comment=body.comment,
                expected=body.expected_version, name=body.name,
            )  # fmt: skip
        return JSONResponse(_version(made))

    @router.post(
        "/policies/plan", summary="What a document would change now", responses=answers(AnyBody)
    )
    async def plan(body: DocumentBody) -> Any:
        with refusals():
            return JSONResponse(await desk.plan(body.yaml(), body.name))

    @router.post(
        "/policies/rollback",
        summary="Apply an earlier version's document again",
        responses=answers(VersionBody),
    )
    async def rollback(body: Rollback, request: Request) -> Any:
        with refusals():
            made = await desk.rollback(
                body.version, author=_author(request), expected=body.expected_version
            )  # fmt: skip
        return JSONResponse(_version(made))

    @router.get(
        "/policies/versions",
        summary="The versions that are kept, newest first",
        responses=answers(VersionsBody),
    )
    async def versions(limit: Annotated[int, Query(ge=1, le=100)] = 50, cursor: Cursor = "") -> Any:
        kept = [_version(one) for one in reversed(desk.book.shelf.versions)]
        return JSONResponse(cut("versions", kept, limit, cursor))

    @router.get(
        "/policies/versions/{number}",
        summary="One version's document",
        responses=answers(DocumentText),
    )
    async def one(number: Annotated[int, Path(ge=1, le=2**31)]) -> Any:
        found = desk.book.shelf.version(number)
        if found is None:
            raise HTTPException(404, f"There is no version {number} (any more).")
        return JSONResponse({**_version(found), "text": found.text})


def _services(router: APIRouter, desk: PolicyDesk) -> None:
    @router.get("/services", summary="The declared services", responses=answers(ServicesBody))
    async def services(limit: Limit = 1000, cursor: Cursor = "") -> Any:
        shown = [asdict(one) for one in desk.book.shelf.services]
        return JSONResponse(cut("services", shown, limit, cursor))

    @router.get("/services/{name}", summary="One declared service", responses=answers(AnyBody))
    async def one(name: Named) -> Any:
        with refusals():
            return JSONResponse(asdict(desk.service(name)))

    @router.put(
        "/services/{name}", summary="Declare a service, or change it", responses=answers(AnyBody)
    )
    async def put(name: Name, body: ServiceBody) -> Any:
        with refusals():
            return JSONResponse(asdict(await desk.declare(body.value(name))))

    @router.delete(
        "/services/{name}", status_code=204, summary="Withdraw a service", responses=answers()
    )
    async def delete(name: Named) -> Response:
        with refusals():
            await desk.withdraw(name)
        return Response(status_code=204)


def _author(request: Request) -> str:
    """Return who asks: what the gate found out."""
    who = request.scope.get("foresteer.who")
    return who.name if who is not None else "operator"


def _version(version: Version) -> dict[str, Any]:
    return {
        "version": version.number,
        "author": version.author,
        "time_s": version.time_s,
        "comment": version.comment,
    }
