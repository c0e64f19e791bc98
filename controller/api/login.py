"""The API of tokens, sessions and the audit log."""

from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Query, Request
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, ConfigDict, Field

from controller.api.access import Audit, Role, Sessions, Token, TokenBook, TokenError
from controller.api.access.gate import COOKIE, REALM, cookie_of
from controller.api.access.sessions import LIFETIME_S
from controller.api.pages import cut
from controller.api.schemas import AuditBody, SessionBody, TokenBody, TokensBody, answers

LIFETIME_MOST_S = 10 * 365 * 86_400.0


class Login(BaseModel):
    """A token, in exchange for a session."""

    model_config = ConfigDict(
        extra="forbid", strict=True, json_schema_extra={"examples": [{"token": "fst_1a2b3c4d_…"}]}
    )

    token: str = Field(min_length=1, max_length=200)


class NewToken(BaseModel):
    """A token that is wanted; without ``lifetime_s`` it never expires."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        json_schema_extra={
            "examples": [{"name": "grafana", "role": "viewer", "lifetime_s": 2592000.0}]
        },
    )

    name: str = Field(min_length=1, max_length=64)
    role: str = Field(pattern="^(viewer|operator|admin)$")
    lifetime_s: float | None = Field(None, gt=0, le=LIFETIME_MOST_S, allow_inf_nan=False)


def login_router(tokens: TokenBook, sessions: Sessions, audit: Audit) -> APIRouter:
    """Return the routes of sessions, tokens and the audit log."""
    router = APIRouter(default_response_class=JSONResponse)
    _sessions(router, tokens, sessions)
    _tokens(router, tokens)

    @router.get(
        "/audit", summary="Changes and refusals, newest first", responses=answers(AuditBody)
    )
    async def lines(
        limit: Annotated[int, Query(ge=1, le=1000)] = 100, cursor: Annotated[str, Query()] = ""
    ) -> Any:
        return JSONResponse(cut("lines", list(reversed(audit.recent)), limit, cursor))

    return router


def _sessions(router: APIRouter, tokens: TokenBook, sessions: Sessions) -> None:
    @router.get("/session", summary="Who I am", responses=answers(SessionBody))
    async def who(request: Request) -> Any:
        found = request.scope.get("foresteer.who")
        role = found.role.word if found is not None and found.role is not None else None
        return JSONResponse(
            {
                "name": found.name if found else "",
                "role": role,
                "by": found.by if found else "nothing",
                "csrf": found.csrf if found else "",
            }
        )

    @router.post(
        "/session", status_code=201, summary="Begin a session", responses=answers(SessionBody, 201)
    )
    async def begin(request: Request, body: Login) -> Any:
        token = tokens.find(body.token)
        if token is None:
            raise HTTPException(
                401,
                "The token is not known, was revoked or has expired.",
                {"WWW-Authenticate": REALM},
            )
        cookie, session = sessions.begin(token)
        shown = {"name": token.name, "role": token.role, "by": "session", "csrf": session.csrf}
        answer = JSONResponse(shown, 201)
        answer.set_cookie(
            COOKIE,
            cookie,
            max_age=int(LIFETIME_S),
            path="/",
            secure=request.url.scheme == "https",
            httponly=True,
            samesite="strict",
        )
        return answer

    @router.delete("/session", status_code=204, summary="End the session", responses=answers())
    async def end(request: Request) -> Response:
        sessions.end(cookie_of(request.headers))
        answer = Response(status_code=204)
        answer.delete_cookie(COOKIE, path="/", httponly=True, samesite="strict")
        return answer


def _tokens(router: APIRouter, tokens: TokenBook) -> None:
    @router.get("/tokens", summary="Tokens: never they themselves", responses=answers(TokensBody))
    async def all_of_them() -> Any:
        return JSONResponse({"tokens": [one.public() for one in tokens.all()]})

    @router.post(
        "/tokens",
        status_code=201,
        summary="Make a token; it is shown this once",
        responses=answers(TokenBody, 201),
    )
    async def create(body: NewToken) -> Any:
        try:
            made, shown = tokens.create(body.name, Role.named(body.role), body.lifetime_s)
        except TokenError as error:
            raise HTTPException(409, str(error)) from error
        return JSONResponse({**made.public(), "token": shown}, 201)

    @router.delete(
        "/tokens/{number}", status_code=204, summary="Revoke a token", responses=answers()
    )
    async def revoke(number: str, request: Request) -> Response:
        _not_own(tokens.known(number), request)
        if not tokens.revoke(number):
            raise HTTPException(404, f"There is no token {number!r}.")
        return Response(status_code=204)


def _not_own(token: Token | None, request: Request) -> None:
    """Refuse to revoke the token that asks: the last admin would lock the door from outside."""
    who = request.scope.get("foresteer.who")
    if token is not None and who is not None and token.name == who.name:
        raise HTTPException(409, "A token cannot revoke itself: use another one.")
