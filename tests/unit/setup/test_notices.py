"""Senders of notices are made of the settings, or refused with what to set."""

from __future__ import annotations

import pytest

from permissions.approval.notices import Chat, Mail, Webhook
from permissions.errors import ConfigError
from permissions.setup.config import NotifyConfig
from permissions.setup.notices import senders_of

MAIL = {
    "smtp_host": "mail.corp.example",
    "mail_from": "w@corp.example",
    "mail_to": ["o@corp.example"],
}


def test_each_sender_that_is_configured_is_made() -> None:
    config = NotifyConfig.model_validate(
        {
            "webhook": "https://hook.example/x",
            "webhook_secret": "0123456789abcdef",
            "chat": "https://chat.example/token",
            **MAIL,
        }
    )

    assert [type(each) for each in senders_of(config)] == [Webhook, Chat, Mail]
    assert senders_of(NotifyConfig()) == ()
    assert "token" not in repr(config)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"webhook": "https://hook.example"}, "WEBHOOK_SECRET"),
        ({"webhook": "https://hook.example", "webhook_secret": "short"}, "16 characters"),
        ({"webhook": "http://hook.example", "webhook_secret": "0" * 16}, "https"),
        ({"chat": "file:///etc/passwd"}, "https"),
        ({**MAIL, "mail_to": []}, "mail_to"),
        ({**MAIL, "mail_from": ""}, "mail_from"),
    ],
    ids=["no secret", "short secret", "in the clear", "a file", "nobody", "no sender"],
)
def test_what_cannot_be_used_is_refused(settings: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        senders_of(NotifyConfig.model_validate(settings))
