"""Who is told that a request waits, as the settings say."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from permissions.approval.notices import Chat, Mail, Notices, Webhook
from permissions.broker.ports import now_us
from permissions.errors import ConfigError
from permissions.service.tasks import beside

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from permissions.approval.notices import Sender
    from permissions.setup.config import BrokerConfig, NotifyConfig

_LEAST_SECRET = 16


@asynccontextmanager
async def notices_of(config: BrokerConfig) -> AsyncIterator[Notices]:
    """The queue of notices, sent while the context is open.

    Raises:
        ConfigError: a sender cannot be made of what the settings say.
    """
    notices = Notices(senders_of(config.approval.notify), config.service.url)
    async with beside() as tasks:
        tasks.start_soon(notices.run)
        yield notices


def senders_of(config: NotifyConfig) -> tuple[Sender, ...]:
    """By webhook, chat and mail, as far as each is configured.

    Raises:
        ConfigError: a webhook has no secret, or an address or a recipient is missing.
    """
    found: list[Sender] = []
    if config.webhook:
        secret = config.webhook_secret
        if secret is None or len(secret.get_secret_value()) < _LEAST_SECRET:
            raise ConfigError(
                "approval.notify.webhook needs approval.notify.webhook_secret, of"
                f" {_LEAST_SECRET} characters at least: set"
                " WARDLINE_APPROVAL__NOTIFY__WEBHOOK_SECRET"
            )
        _require_address("webhook", config.webhook)
        found.append(Webhook(config.webhook, secret.get_secret_value().encode(), now_us))
    if config.chat is not None:
        _require_address("chat", config.chat.get_secret_value())
        found.append(Chat(config.chat.get_secret_value()))
    if config.smtp_host:
        if not config.mail_from or not config.mail_to:
            raise ConfigError("approval.notify.smtp_host needs mail_from and mail_to")
        password = config.smtp_password
        found.append(
            Mail(
                config.smtp_host,
                config.smtp_port,
                config.smtp_tls,
                config.mail_from,
                config.mail_to,
                config.smtp_user,
                "" if password is None else password.get_secret_value(),
            )
        )
    return tuple(found)


def _require_address(name: str, url: str) -> None:
    if not url.startswith(("https://", "http://127.0.0.1", "http://localhost")):
        raise ConfigError(f"approval.notify.{name} is an https:// address")
