"""The broker's settings: one frozen model, from `wardline.toml` and `WARDLINE_*` variables.

Order of precedence: keyword, environment (`WARDLINE_PDP__ENGINE=opa`), file, default. Unknown
keys are refused, every default refuses rather than allows, and no setting turns signing off.
Durations carry their unit in the name.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
    TomlConfigSettingsSource,
)

from permissions.errors import ConfigError

if TYPE_CHECKING:
    from typing import Any

DEFAULT_FILE = Path("wardline.toml")


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ApproverConfig(_Section):
    """One person who may approve: groups, and the public half of their own key."""

    groups: tuple[str, ...] = Field(default=(), description="Approver groups of this person.")
    public_key: str = Field(description="Ed25519 public key, base64 of 32 bytes.")


class PdpConfig(_Section):
    """Where decisions come from."""

    engine: Literal["embedded", "opa"] = Field(
        default="embedded", description="The embedded evaluator, or a running OPA server."
    )
    policies: Path | None = Field(
        default=None, description="Folder of policies to use instead of the shipped ones."
    )
    overlay: Path | None = Field(
        default=None,
        description="Folder laid over the policies, file by file: your tables and packages.",
    )
    soft_deadline_ms: int = Field(
        default=50, ge=1, le=10_000, description="Embedded: a slower answer is logged."
    )
    hard_deadline_ms: int = Field(
        default=250, ge=1, le=60_000, description="Embedded: then the evaluator is killed."
    )
    memory_mb: int = Field(
        default=1024, ge=64, le=65_536, description="Embedded: address space of an evaluator."
    )
    opa_url: str = Field(
        default="http://127.0.0.1:8181", description="Address of the OPA server."
    )
    opa_token: SecretStr | None = Field(
        default=None, description="Bearer token of the OPA server; set it by environment."
    )
    opa_deadline_ms: int = Field(
        default=500, ge=1, le=60_000, description="OPA: one deadline over the whole question."
    )


class ApprovalConfig(_Section):
    """How long people are waited for."""

    mode: Literal["wait", "suspend"] = Field(
        default="wait",
        description="Wait for the answer in the call, or hand back a pending denial.",
    )
    wait_seconds: int = Field(
        default=900, ge=1, le=7 * 24 * 3600, description="Longest wait inside one call."
    )


class TraceConfig(_Section):
    """How the record is kept."""

    key: str = Field(
        default="",
        description="URI of the log's signing key; a file in the state folder if empty.",
    )
    evidence: Literal["buffered", "durable"] = Field(
        default="durable",
        description="Weakest evidence level; a policy may ask for more, never for less.",
    )


class EgressConfig(_Section):
    """One host that tools of a profile may reach, through the egress proxy."""

    host: str = Field(description="A name, exactly; no wildcard, no address.")
    mode: Literal["tunnel", "http", "https"] = Field(
        default="tunnel",
        description="`tunnel`: TLS from inside. `http`: plain. `https`: the tool says http://,"
        " and the proxy opens TLS to the host.",
    )
    port: int | None = Field(
        default=None, ge=1, le=65_535, description="443, or 80 in mode `http`."
    )
    methods: tuple[str, ...] = Field(
        default=(), description="Allowed methods, not for a tunnel; GET and HEAD if empty."
    )
    path_prefix: str = Field(default="/", description="Allowed paths, not for a tunnel.")
    secret: str | None = Field(
        default=None,
        description="Handle (`secret://name`) of a credential the proxy adds, in mode `https`.",
    )
    secret_header: str = Field(default="Authorization", description="Header it is put into.")
    secret_prefix: str = Field(default="Bearer ", description="What stands before it there.")
    unsafe_address: str | None = Field(
        default=None,
        description="Dialled unchecked instead of what the name resolves to: for a service of"
        " your own without a public address.",
    )


class ProfileConfig(_Section):
    """A named sandbox profile: what differs from the tightest one."""

    image: str | None = Field(default=None, description="Container image, by digest.")
    memory_mb: int = Field(default=256, ge=32, le=262_144, description="Memory, swap included.")
    processes: int = Field(default=64, ge=1, le=32_768, description="Processes and threads.")
    cpus: float = Field(default=1.0, gt=0, le=256, description="Share of processor time.")
    cpu_seconds: int = Field(default=30, ge=1, le=86_400, description="Processor time.")
    wall_seconds: int = Field(default=60, ge=1, le=86_400, description="Time on the clock.")
    egress: dict[str, EgressConfig] = Field(
        default_factory=dict,
        max_length=64,
        description="Hosts that may be reached; none without an entry.",
    )
    authorities: Path | None = Field(
        default=None,
        description="Further certificate authorities (PEM) for those hosts.",
    )
    secret_files: dict[str, str] = Field(
        default_factory=dict,
        max_length=16,
        description="Files a tool finds in its working directory, each with its handle.",
    )


class SessionConfig(_Section):
    """How long the sandbox of a tool with `stateful=True` lives in one run."""

    calls: int = Field(default=100, ge=1, le=100_000, description="Calls in one sandbox.")
    idle_seconds: int = Field(
        default=300, ge=1, le=86_400, description="Without a call, then it ends."
    )
    total_seconds: int = Field(
        default=3600, ge=1, le=604_800, description="From its start, then it ends."
    )
    cpu_seconds: int = Field(
        default=600, ge=1, le=604_800, description="Processor time of all its calls together."
    )


class SandboxConfig(_Section):
    """Which backends may be used, best first."""

    backends: tuple[Literal["oci", "docker", "bubblewrap"], ...] = Field(
        default=("oci", "docker", "bubblewrap"), description="Backends to look for."
    )
    prewarmed: int = Field(
        default=1,
        ge=0,
        le=64,
        description="Sandboxes started ahead for each tool in use, its module imported; 0 starts"
        " none.",
    )
    session: SessionConfig = Field(
        default=SessionConfig(), description="Sandboxes of stateful tools, within a run."
    )
    secrets: Path | None = Field(
        default=None,
        description="Folder with the values of secret handles, one file each, closed to others;"
        " without it they are looked up in the environment as `SANDBOX_SECRET_<NAME>`.",
    )
    profiles: dict[str, ProfileConfig] = Field(
        default_factory=dict, description="Named profiles that tools and policies may ask for."
    )
    hidden: tuple[Annotated[str, Field(pattern=r"^[^/]*[^/.][^/]*$")], ...] = Field(
        default=(
            ".aws",
            ".azure",
            ".docker",
            ".env",
            ".git-credentials",
            ".gnupg",
            ".kube",
            ".netrc",
            ".npmrc",
            ".pgpass",
            ".pypirc",
            ".ssh",
        ),
        description='Names at the top of the workspace that tools with `workspace="overlay"` do not'
        " see; the broker's own places never are.",
    )
    code_roots: tuple[Path, ...] = Field(
        default=(),
        description="Folders sandboxed tools may import from, beside the installed packages"
        " and the tool's own top-level package or module.",
    )


class BrokerConfig(BaseSettings):
    """Every setting of a broker. Immutable once built."""

    model_config = SettingsConfigDict(
        frozen=True,
        extra="forbid",
        env_prefix="WARDLINE_",
        env_nested_delimiter="__",
    )

    state: Path = Field(
        default=Path(".wardline"), description="Folder of keys, requests, journal and trace."
    )
    workspace: Path = Field(
        default=Path(), description="Folder that relative paths start from."
    )
    environment: str = Field(
        default="development", max_length=64, description="Name policies see as environment."
    )
    call_deadline_seconds: int = Field(
        default=120,
        ge=1,
        le=24 * 3600,
        description="Longest run of one tool that can be stopped.",
    )
    pdp: PdpConfig = Field(default=PdpConfig(), description="Decision point.")
    approval: ApprovalConfig = Field(default=ApprovalConfig(), description="Approvals.")
    approvers: dict[str, ApproverConfig] = Field(
        default_factory=dict, description="People who may approve, by name."
    )
    trace: TraceConfig = Field(default=TraceConfig(), description="Trace.")
    sandbox: SandboxConfig = Field(default=SandboxConfig(), description="Sandboxes.")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - no hidden file
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - no hidden folder
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Keyword, then environment, then the TOML file of `load`."""
        return (init_settings, env_settings, TomlConfigSettingsSource(settings_cls))

    @classmethod
    def load(cls, file: Path | None = None, **overrides: Any) -> BrokerConfig:
        """Reads the settings.

        Args:
            file: a TOML file that must exist; by default `wardline.toml` if it is there.
            **overrides: settings that win over file and environment.

        Raises:
            ConfigError: the file is missing or not TOML, a key is unknown, a value does not fit.
        """
        if file is not None and not file.is_file():
            raise ConfigError(f"the configuration file {file} does not exist")

        _refuse_unknown_variables(cls)

        class FromFile(cls):  # type: ignore[misc, valid-type]  # the file is known only now
            model_config = SettingsConfigDict(toml_file=file or DEFAULT_FILE)

        try:
            loaded = FromFile(**overrides)
        except (ValidationError, SettingsError, ValueError) as err:
            said = f"{file or DEFAULT_FILE}, WARDLINE_* variables or keywords"
            raise ConfigError(f"{said}: {_explain(err)}") from err
        return cls.model_construct(**{name: getattr(loaded, name) for name in cls.model_fields})


_OTHER_VARIABLES = frozenset(
    {"WARDLINE_APPROVER_KEY", "WARDLINE_DEMO_MODEL", "WARDLINE_KNOWN_CHECKPOINTS"}
)
"""Variables of the command line and the demo, which are no settings."""


def _refuse_unknown_variables(settings: type[BrokerConfig]) -> None:
    """A misspelt variable is an error, as a misspelt key of the file is."""
    known = {f"WARDLINE_{name}".upper() for name in settings.model_fields} | _OTHER_VARIABLES
    for name in os.environ:
        top = name.upper().partition("__")[0]
        if top.startswith("WARDLINE_") and top not in known:
            raise ConfigError(
                f"the variable {name} sets nothing; see docs/reference/settings.md"
            )


def _explain(err: Exception) -> str:
    if isinstance(err, ValidationError):
        return "; ".join(
            f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}"
            for fault in err.errors(include_url=False, include_input=False)
        )
    return str(err)
