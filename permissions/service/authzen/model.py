"""What the Authorization API and its profile of access requests are asked.

That is OpenID AuthZEN Authorization API 1.0, sections 5 to 8, and the profile's draft 1.
Members that are not known are ignored, as the specification demands; what is known has to be of
its type.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

MAX_EVALUATIONS = 100
"""Questions in one request."""

_Name = Annotated[str, Field(min_length=1, max_length=512)]


class _Form(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, extra="ignore")


class Entity(_Form):
    """A subject or a resource."""

    type: _Name
    id: _Name
    properties: dict[str, Any] = Field(default_factory=dict)


class AnyOfType(_Form):
    """The entity that is searched for; an id is not looked at."""

    type: _Name
    properties: dict[str, Any] = Field(default_factory=dict)


class Action(_Form):
    """What is to be done."""

    name: _Name
    properties: dict[str, Any] = Field(default_factory=dict)


class Evaluation(_Form):
    """One question: may this subject do this to this resource."""

    subject: Entity
    action: Action
    resource: Entity
    context: dict[str, Any] = Field(default_factory=dict)


class Options(_Form):
    """How several questions are gone through."""

    evaluations_semantic: Literal[
        "execute_all", "deny_on_first_deny", "permit_on_first_permit"
    ] = "execute_all"


class Evaluations(_Form):
    """Several questions, with what they share; each is looked at by itself."""

    evaluations: list[dict[str, Any]] = Field(default_factory=list, max_length=MAX_EVALUATIONS)
    options: Options = Options()


class SubjectSearch(_Form):
    """Which subjects may do this to this resource."""

    subject: AnyOfType
    action: Action
    resource: Entity
    context: dict[str, Any] = Field(default_factory=dict)
    page: dict[str, Any] = Field(default_factory=dict)


class ResourceSearch(_Form):
    """To which resources this subject may do this."""

    subject: Entity
    action: Action
    resource: AnyOfType
    context: dict[str, Any] = Field(default_factory=dict)
    page: dict[str, Any] = Field(default_factory=dict)


class ActionSearch(_Form):
    """What this subject may do to this resource."""

    subject: Entity
    resource: Entity
    context: dict[str, Any] = Field(default_factory=dict)
    page: dict[str, Any] = Field(default_factory=dict)


class Denied(_Form):
    """The denial that an access request is about, as it was told."""

    evaluation_id: _Name
    expires_at: _Name


class Submission(_Form):
    """People are to be asked about a question that was denied.

    Not taken: several at once (`items`), a `callback`, and an actor that is not the subject
    (`client.actor`). Access that is wanted for longer (`requested_access`) is not looked at:
    an approval is for one call.
    """

    subject: Entity
    action: Action
    resource: Entity
    denial: Denied
    context: dict[str, Any] = Field(default_factory=dict)
    items: None = None
    callback: None = None
    client: dict[str, Any] = Field(default_factory=dict)


class Cancellation(_Form):
    """An access request is to be withdrawn."""

    reason: str = Field(default="", max_length=512)
    comment: str = Field(default="", max_length=512)
