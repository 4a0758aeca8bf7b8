"""HTTP of signing in, registering, and of one's own sessions."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request, Response

from image_api.actor import Actor, Scope
from image_api.auth import RequireScope, RequireSession, check_same_origin, count_sign_in_attempt
from image_api.dependencies import ServicesDep, TransactionDep
from image_api.guarded_route import GuardedRoute
from image_api.people import accounts, schemas, service
from image_api.people.cookies import set_session_cookie
from image_api.people.service import IssuedToken, NewSession
from image_api.proofs import session_cookies

router = APIRouter(prefix="/auth", tags=["people"], route_class=GuardedRoute)
Person = Annotated[Actor, Depends(RequireSession())]
SignedIn = Annotated[Actor, Depends(RequireSession(key_sessions=True))]
Holder = Annotated[Actor, Depends(RequireScope(Scope.KEYS_SELF, key_sessions=False))]

_ATTEMPT: dict[int | str, dict[str, Any]] = {429: {"description": "Too many attempts. Wait for `Retry-After`."}}
_REFUSED: dict[int | str, dict[str, Any]] = {
    401: {"description": "The e-mail address and the password do not match, or the user is disabled."},
    403: {"description": "The request comes from a page of another site."},
    404: {"description": "This deployment does not issue access tokens."},
}


@router.post("/register", status_code=202, response_model=schemas.Registered, responses={
    **_ATTEMPT,
    403: {"description": "Registration needs an invitation."},
    404: {"description": "The invitation does not exist, was used or revoked, or has expired."},
    409: {"description": "The invited person already has an account."},
})  # fmt: skip
async def register(body: schemas.Registration, services: ServicesDep) -> Any:
    """Create an account, with an invitation or where registration is open. Sign in afterwards."""
    await count_sign_in_attempt(services)
    await accounts.register(services, body)
    return schemas.Registered()


@router.post("/login", response_model=schemas.AccessToken | schemas.CookieSession, responses=_ATTEMPT | _REFUSED)
async def login(body: schemas.Login, services: ServicesDep, request: Request, response: Response) -> Any:
    """Sign in with an e-mail address and a password, and get an access token or a session cookie."""
    address = await count_sign_in_attempt(services)
    check_same_origin(request, services)
    signed_in = await service.sign_in(services, body, address, request.headers.get("user-agent", ""))
    response.headers["Cache-Control"] = "no-store"
    if signed_in.cookie is None:
        return _token_body(await service.access_token(services, signed_in.session))
    set_session_cookie(response, services.settings, signed_in.cookie)
    return _cookie_body(signed_in)


def _token_body(issued: IssuedToken) -> schemas.AccessToken:
    return schemas.AccessToken(
        access_token=issued.token,
        expires_in=issued.seconds,
        session_id=issued.session["id"],
        session_expires_at=issued.session["expires_at"],
    )


def _cookie_body(signed_in: NewSession) -> schemas.CookieSession:
    return schemas.CookieSession(
        csrf_token=session_cookies.csrf_token(signed_in.cookie or ""),
        session_id=signed_in.session["id"],
        session_expires_at=signed_in.session["expires_at"],
    )


@router.post(
    "/refresh",
    response_model=schemas.AccessToken,
    responses={404: {"description": "This deployment does not issue access tokens."}},
)
async def refresh(actor: Person, services: ServicesDep, response: Response) -> Any:
    """Get a new access token. The current one and the session must still be valid."""
    issued = await service.refresh(services, actor)
    response.headers["Cache-Control"] = "no-store"
    return _token_body(issued)


@router.post("/logout", status_code=204)
async def logout(
    actor: SignedIn,
    transaction: TransactionDep,
    services: ServicesDep,
    response: Response,
    everywhere: Annotated[bool, Query(alias="all", description="End all of your sessions, not only this one.")] = False,
) -> None:
    """End this session, or all of your sessions."""
    await service.sign_out(transaction, actor, everywhere=everywhere)
    transaction.on_commit.append(lambda: services.session_cache.forget_user(actor.user_id))
    set_session_cookie(response, services.settings, "")


@router.get("/session", response_model=schemas.CurrentSession)
async def show_session(actor: SignedIn, services: ServicesDep, request: Request, response: Response) -> Any:
    """Get the session of this request. For a cookie session, the response includes its CSRF token."""
    session = await service.current_session(services, actor)
    cookie = request.cookies.get(services.settings.session_cookie_name)
    response.headers["Cache-Control"] = "no-store"
    shown = {name: getattr(actor, name) for name in ("session_id", "user_id", "user_name", "team_id", "role")}
    csrf_token = session_cookies.csrf_token(cookie) if cookie else None
    return shown | {
        "scopes": sorted(actor.scopes), "session_expires_at": session["expires_at"], "csrf_token": csrf_token
    }  # fmt: skip


@router.get("/sessions", response_model=schemas.SessionList)
async def list_sessions(actor: Holder, services: ServicesDep) -> Any:
    """List your active sessions, newest first."""
    rows = await service.sessions(services.database, actor)
    return {"items": [{**dict(row), "current": row["id"] == actor.session_id} for row in rows]}


@router.delete("/sessions/{session_id}", status_code=204)
async def end_session(session_id: UUID, actor: Holder, transaction: TransactionDep, services: ServicesDep) -> None:
    """End one of your sessions."""
    await service.end_session(transaction, actor, session_id)
    transaction.on_commit.append(lambda: services.session_cache.forget_user(actor.user_id))


@router.post("/password", status_code=204)
async def change_password(body: schemas.PasswordChange, actor: Person, services: ServicesDep) -> None:
    """Change your password. Your other sessions end; API keys keep working."""
    await accounts.change_password(services, actor, body, await count_sign_in_attempt(services))


@router.post("/password-reset", status_code=204, responses={
    **_ATTEMPT,
    404: {"description": "The password reset does not exist, was used, or has expired."},
})  # fmt: skip
async def reset_password(body: schemas.PasswordReset, services: ServicesDep) -> None:
    """Set a new password with a token from an admin. All sessions of the user end."""
    await accounts.reset_password(services, body, await count_sign_in_attempt(services))
