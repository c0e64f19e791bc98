"""The API of what operators ask for: circuits, their firewall rules, freezing."""

from dataclasses import asdict
from typing import Annotated, Any, Protocol

from fastapi import APIRouter, HTTPException, Path
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from controller.act.circuits import Circuits
from controller.act.firewall import Finding, Firewall, findings
from controller.api.network import Cursor, Limit
from controller.api.pages import cut
from controller.api.refusals import refusals
from controller.api.schemas import AnyBody, FrozenBody, RequestsBody, RulesBody, answers
from controller.operators import OperatorBook
from controller.state import Circuit, CircuitRequest, FirewallRule, PathConstraints

Name = Annotated[str, Field(min_length=1, max_length=64)]
Named = Annotated[str, Path(min_length=1, max_length=64)]
LinkName = Annotated[str, Field(min_length=3, max_length=200)]


class Constraints(BaseModel):
    """What a circuit's path must keep; see controller.state.PathConstraints."""

    model_config = ConfigDict(extra="forbid", strict=True)

    trusted_only: bool = False
    forbidden_regions: list[Name] = Field([], max_length=100)
    avoid_links: list[LinkName] = Field([], max_length=1000)
    max_latency_ms: float | None = Field(None, gt=0, allow_inf_nan=False)

    def value(self) -> PathConstraints:
        """Return what the decision stage takes."""
        return PathConstraints(
            self.trusted_only,
            tuple(self.forbidden_regions),
            tuple(self.avoid_links),
            self.max_latency_ms,
        )


class Changes(BaseModel):
    """What may be changed of a circuit; what is left out stays."""

    model_config = ConfigDict(extra="forbid", strict=True)

    path: list[LinkName] | None = Field(None, max_length=255)
    share: float | None = Field(None, ge=0, le=1)
    reserved_bps: float | None = Field(None, ge=0, allow_inf_nan=False)
    priority: int | None = Field(None, ge=0, le=1000)
    allow_rest: bool | None = None
    constraints: Constraints | None = None


class NewCircuit(BaseModel):
    """A circuit that is asked for; see controller.act.circuits.Circuits.create_circuit."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        json_schema_extra={
            "examples": [
                {
                    "name": "backup-of-db",
                    "source": "Paris",
                    "destination": "Rome",
                    "share": 1.0,
                    "reserved_bps": 2e6,
                    "constraints": {"trusted_only": True, "max_latency_ms": 20.0},
                }
            ]
        },
    )

    source: Name
    destination: Name
    name: str = Field("", max_length=64)
    path: list[LinkName] = Field([], max_length=255)
    share: float = Field(1.0, ge=0, le=1)
    reserved_bps: float = Field(0.0, ge=0, allow_inf_nan=False)
    priority: int = Field(0, ge=0, le=1000)
    allow_rest: bool = True
    constraints: Constraints = Constraints()


class Rule(BaseModel):
    """A firewall rule; see controller.state.FirewallRule."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        json_schema_extra={
            "examples": [{"allow": True, "priority": 100, "protocol": 6, "destination_port": 5432}]
        },
    )

    allow: bool
    priority: int = Field(100, ge=0, le=999)
    source: str = Field("", max_length=32)
    destination: str = Field("", max_length=32)
    protocol: int = Field(0, ge=0, le=255)
    source_port: int = Field(0, ge=0, le=65535)
    destination_port: int = Field(0, ge=0, le=65535)
    direction: str = Field("forward", pattern="^(forward|reverse|both)$")


class Freeze(BaseModel):
    """Whether everything stands still but what must move."""

    model_config = ConfigDict(extra="forbid", strict=True)

    frozen: bool


class Operations(Protocol):
    """What this API needs of the brain."""

    book: OperatorBook
    circuits: Circuits
    firewall: Firewall

    async def freeze(self, *, frozen: bool) -> None:
        """Hold everything, or let go; raise RequestError where that cannot be kept."""


def operate_router(brain: Operations) -> APIRouter:
    """Return the routes of operators' circuits, rules and freezing."""
    router = APIRouter(default_response_class=JSONResponse)
    _circuits(router, brain)
    _rules(router, brain)

    @router.get("/freeze", summary="Whether everything stands still", responses=answers(FrozenBody))
    async def frozen() -> Any:
        return JSONResponse({"frozen": brain.book.wanted.frozen})

    @router.put(
        "/freeze",
        summary="Hold everything but what must move, or let go",
        responses=answers(FrozenBody),
    )
    async def freeze(body: Freeze) -> Any:
        with refusals():
            await brain.freeze(frozen=body.frozen)
        return JSONResponse({"frozen": brain.book.wanted.frozen})

    return router


def _circuits(router: APIRouter, brain: Operations) -> None:
    @router.get(
        "/requests",
        summary="The circuits that operators asked for",
        responses=answers(RequestsBody),
    )
    async def requests(limit: Limit = 1000, cursor: Cursor = "") -> Any:
        shown = [_request(one) for one in brain.book.wanted.circuits]
        return JSONResponse(cut("circuits", shown, limit, cursor))

    @router.post(
        "/requests", status_code=201, summary="Ask for a circuit", responses=answers(AnyBody, 201)
    )
    async def create(body: NewCircuit) -> Any:
        fields = body.model_dump(exclude={"source", "destination", "constraints"})
        fields["path"] = tuple(body.path)
        with refusals():
            made = await brain.circuits.create_circuit(
                body.source, body.destination, constraints=body.constraints.value(), **fields
            )
        return JSONResponse(_circuit(made), 201)

    @router.get(
        "/requests/{name}",
        summary="One circuit that an operator asked for",
        responses=answers(AnyBody),
    )
    async def one(name: Named) -> Any:
        with refusals():
            return JSONResponse(_request(brain.circuits.find(name)))

    @router.patch("/requests/{name}", summary="Change a circuit", responses=answers(AnyBody))
    async def update(name: Named, body: Changes) -> Any:
        fields = body.model_dump(exclude_unset=True, exclude={"constraints"})
        changes: dict[str, Any] = {k: v for k, v in fields.items() if v is not None}
        if body.path is not None:
            changes["path"] = tuple(body.path)
        if body.constraints is not None:
            changes["constraints"] = body.constraints.value()
        with refusals():
            return JSONResponse(_circuit(await brain.circuits.update_circuit(name, **changes)))

    @router.delete(
        "/requests/{name}", status_code=204, summary="Delete a circuit", responses=answers()
    )
    async def delete(name: Named) -> Response:
        with refusals():
            await brain.circuits.delete_circuit(name)
        return Response(status_code=204)


def _rules(router: APIRouter, brain: Operations) -> None:
    @router.get(
        "/requests/{name}/rules",
        summary="A circuit's firewall, and what is odd in it",
        responses=answers(RulesBody),
    )
    async def rules(name: Named) -> Any:
        with refusals():
            request = brain.circuits.find(name)
        return JSONResponse(_firewall(request, findings(request.rules)))

    @router.get("/requests/{name}/rules/{rule}", summary="One rule", responses=answers(AnyBody))
    async def one(name: Named, rule: Named) -> Any:
        with refusals():
            request = brain.circuits.find(name)
        found = next((x for x in request.rules if x.name == rule), None)
        if found is None:
            raise HTTPException(404, f"Circuit {name!r} has no rule {rule!r}.")
        return JSONResponse(asdict(found))

    @router.put(
        "/requests/{name}/rules/{rule}",
        summary="Add or change a rule",
        responses=answers(RulesBody),
    )
    async def put(name: Named, rule: Named, body: Rule) -> Any:
        with refusals():
            found = await brain.firewall.update_firewall_rule(
                name, FirewallRule(rule, **body.model_dump())
            )
        return JSONResponse(_firewall(brain.circuits.find(name), found))

    @router.delete(
        "/requests/{name}/rules/{rule}", summary="Take a rule away", responses=answers(RulesBody)
    )
    async def delete(name: Named, rule: Named) -> Any:
        with refusals():
            found = await brain.firewall.delete_firewall_rule(name, rule)
        return JSONResponse(_firewall(brain.circuits.find(name), found))


def _circuit(circuit: Circuit) -> dict[str, Any]:
    return asdict(circuit)


def _request(request: CircuitRequest) -> dict[str, Any]:
    return asdict(request)


def _firewall(request: CircuitRequest, found: tuple[Finding, ...]) -> dict[str, Any]:
    return {
        "rules": [asdict(rule) for rule in request.rules],
        "allow_rest": request.allow_rest,
        "findings": [asdict(one) for one in found],
    }
