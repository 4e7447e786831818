"""The gateway over streamable HTTP, as an OAuth 2 resource server.

Sessions, sizes of requests, `Host` and `Origin`, the metadata of RFC 9728 and the challenges are
the protocol library's; tokens are checked by `permissions.gateway.tokens`. Nobody is served
without a token, also not on the loopback: other users of this machine reach that, too.
"""

from __future__ import annotations

import ssl
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any

import httpx2
from mcp.server.auth.settings import AuthSettings
from mcp.server.transport_security import TransportSecuritySettings
from pydantic import ValidationError

from permissions.errors import ConfigError
from permissions.gateway.tokens import Introspected, Signed, Tokens
from permissions.service.endpoint import TlsFiles, endpoint_of
from permissions.service.http.host import hosting

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from mcp.server.lowlevel import Server

    from permissions.setup.config import GatewayHttpConfig

IDLE_SECONDS = 1800.0
MOST_SESSIONS = 256
MAX_REQUEST = 4 * 1024 * 1024
PATH = "/mcp"


@asynccontextmanager
async def served(
    server: Server[Any], config: GatewayHttpConfig, address: str
) -> AsyncIterator[str]:
    """Serves it while the context is open; gives the URL of the resource.

    Args:
        server: of the gateway.
        config: the section of the settings.
        address: where to listen.

    Raises:
        ConfigError: a setting is missing or cannot be used, or the address cannot be had.
    """
    endpoint = endpoint_of(address)
    tls = _tls(config)
    endpoint.require_private(tls)
    scheme = "http" if tls is None else "https"
    if not config.url and endpoint.port == 0:
        raise ConfigError("gateway.http.url: say how clients reach it; tokens are for that URL")
    resource = config.url or f"{scheme}://{endpoint}{PATH}"
    async with AsyncExitStack() as stack:
        verifier = await _verifier(config, resource, stack)
        try:
            auth = AuthSettings.model_validate(
                {
                    "issuer_url": config.issuer,
                    "resource_server_url": resource,
                    "required_scopes": list(config.scopes) or None,
                    "validate_token_resource": True,
                }
            )
        except ValidationError as err:
            raise ConfigError(f"gateway.http: issuer or url is no URL: {err}") from err
        app = server.streamable_http_app(
            streamable_http_path=PATH,
            auth=auth,
            token_verifier=verifier,
            transport_security=_security(config, resource),
            max_request_body_size=MAX_REQUEST,
            session_idle_timeout=IDLE_SECONDS,
            max_sessions=MOST_SESSIONS,
        )
        await stack.enter_async_context(server.session_manager.run())
        await stack.enter_async_context(hosting(app, endpoint, tls=tls))
        yield resource


def _security(config: GatewayHttpConfig, resource: str) -> TransportSecuritySettings:
    """Names by which it may be asked: a web page cannot reach it by one of its own."""
    own = httpx2.URL(resource)
    hosts = ["127.0.0.1:*", "localhost:*", "[::1]:*", own.netloc.decode("ascii")]
    for name in config.hosts:
        hosts += [name, f"{name}:*"]
    return TransportSecuritySettings(
        enable_dns_rebinding_protection=True,
        allowed_hosts=hosts,
        allowed_origins=[f"{own.scheme}://{own.netloc.decode('ascii')}", *config.origins],
    )


async def _verifier(config: GatewayHttpConfig, resource: str, stack: AsyncExitStack) -> Tokens:
    if not config.issuer:
        raise ConfigError(
            "gateway.http.issuer: name the authorization server whose tokens count; over HTTP"
            " nobody is served without one"
        )
    if bool(config.jwks) == bool(config.introspection):
        raise ConfigError(
            "gateway.http: say either jwks (where the issuer's keys are) or introspection"
        )
    for name, url in (("jwks", config.jwks), ("introspection", config.introspection)):
        if url and not url.startswith(("https://", "http://127.", "http://localhost")):
            raise ConfigError(f"gateway.http.{name}: {url[:80]} is neither https nor local")
    auth = None
    if config.introspection:
        if config.client_secret is None:
            raise ConfigError("gateway.http.client_secret: introspection needs it")
        auth = httpx2.BasicAuth(config.client_id, config.client_secret.get_secret_value())
    client = httpx2.AsyncClient(
        auth=auth, follow_redirects=False, trust_env=False, verify=_authorities(config)
    )
    await stack.enter_async_context(client)
    claims = (
        Signed(config.jwks, client)
        if config.jwks
        else Introspected(config.introspection, client)
    )
    return Tokens(claims, issuer=config.issuer, resource=resource)


def _authorities(config: GatewayHttpConfig) -> ssl.SSLContext | bool:
    if config.ca is None:
        return True
    try:
        return ssl.create_default_context(cafile=str(config.ca))
    except (OSError, ssl.SSLError) as err:
        said = f"gateway.http.ca: {config.ca} holds no certificate authorities ({err})"
        raise ConfigError(said) from err


def _tls(config: GatewayHttpConfig) -> TlsFiles | None:
    if config.tls_certificate is None and config.tls_key is None:
        return None
    if config.tls_certificate is None or config.tls_key is None:
        raise ConfigError("gateway.http.tls_certificate and tls_key belong together; set both")
    return TlsFiles(config.tls_certificate, config.tls_key)
