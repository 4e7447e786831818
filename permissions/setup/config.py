"""The broker's settings: one frozen model, from `wardline.toml` and `WARDLINE_*` variables.

Order of precedence: keyword, environment (`WARDLINE_PDP__ENGINE=opa`), file, default. Unknown
keys are refused, every default refuses rather than allows, and no setting turns signing off.
Durations carry their unit in the name. Which file it is says `permissions.setup.settings_file`.
It is longer than others because it is the whole list of settings, with what each one is for.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, SecretStr, ValidationError
from pydantic_settings import (
    BaseSettings,
    InitSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

from permissions.errors import ConfigError
from permissions.service.clients import CALLS, SESSIONS
from permissions.setup.settings_file import settings_file
from permissions.setup.trust import TrustList
from permissions.stops.scope import ScopeKind  # noqa: TC001 - pydantic reads it
from permissions.trace.content_kinds import ContentKind  # noqa: TC001 - pydantic reads it
from permissions.vocabulary import Evidence, Isolation  # noqa: TC001 - read at run time

if TYPE_CHECKING:
    from permissions.setup.settings_file import SettingsFile


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ApproverConfig(_Section):
    """One person who may approve: groups, and the public half of their own key."""

    groups: tuple[str, ...] = Field(default=(), description="Approver groups of this person.")
    public_key: str | None = Field(
        default=None,
        description="Ed25519 public key, base64 of 32 bytes; none for who enrols a passkey.",
    )


class PdpConfig(_Section):
    """Where decisions come from."""

    engine: Literal["embedded", "opa"] = Field(
        default="embedded", description="The embedded evaluator, or a running OPA server."
    )
    policies: Path | None = Field(
        default=None,
        description="Folder of policies, or a bundle that `wardline policy build` made, to use"
        " instead of the shipped ones.",
    )
    overlay: Path | None = Field(
        default=None,
        description="Folder that is added to the policies, file by file: your tables and packages.",
    )
    bundle_keys: tuple[Path, ...] = Field(
        default=(),
        description="Public keys, one file each (PEM). With any, `policies` has to be a bundle"
        " that one of them signed, and nothing is put on top of it.",
    )
    refuse_older: bool = Field(
        default=False,
        description="Accept a bundle only when its sequence is above that of the last one"
        " accepted here, or it is that one. Needs `bundle_keys`.",
    )
    soft_deadline_ms: int = Field(
        default=50, ge=1, le=10_000, description="Embedded: a slower answer is logged."
    )
    hard_deadline_ms: int = Field(
        default=250,
        ge=1,
        le=60_000,
        description="Embedded: then the evaluator is killed; while it waits for a processor, at most"
        " four times as late.",
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


class NotifyConfig(_Section):
    """Who else is told that a request waits; no notice holds an argument of the call."""

    webhook: str = Field(
        default="", description="Address that notices are posted to as signed JSON."
    )
    webhook_secret: SecretStr | None = Field(
        default=None,
        description="Secret of their HMAC-SHA256 signature, 16 characters at least; set it by"
        " environment.",
    )
    chat: SecretStr | None = Field(
        default=None,
        description="Address of an incoming webhook of Slack, or one like it; set it by"
        " environment.",
    )
    smtp_host: str = Field(default="", description="Mail server; no mail if empty.")
    smtp_port: int = Field(default=587, ge=1, le=65_535, description="Its port.")
    smtp_tls: Literal["starttls", "tls", "none"] = Field(
        default="starttls", description="How the connection to it is encrypted."
    )
    smtp_user: str = Field(default="", description="Account there; none if empty.")
    smtp_password: SecretStr | None = Field(
        default=None, description="Its password; set it by environment."
    )
    mail_from: str = Field(default="", description="Sender of the mails.")
    mail_to: tuple[str, ...] = Field(default=(), description="Who gets them.")


class ApprovalConfig(_Section):
    """How long people are waited for, and who is told."""

    notify: NotifyConfig = Field(default=NotifyConfig(), description="Who else is told.")

    mode: Literal["wait", "suspend"] = Field(
        default="wait",
        description="Wait for the answer in the call, or hand back a pending denial.",
    )
    wait_seconds: int = Field(
        default=900, ge=1, le=7 * 24 * 3600, description="Longest wait inside one call."
    )
    use_within_seconds: int = Field(
        default=3600,
        ge=1,
        le=30 * 24 * 3600,
        description="How long an approval may be used once it was given. How long people may"
        " answer says the policy (`expires_in_seconds`).",
    )


class WitnessConfig(_Section):
    """A C2SP witness."""

    url: str = Field(description="Its submission prefix: `add-checkpoint` is below it.")
    key: str = Field(description="Its verifier key, `name+hash+key`, as it prints it.")


class StopConfig(_Section):
    """Who lifts a stop (`wardline resume`). Whoever may use the state folder may stop."""

    agreement_for: tuple[ScopeKind, ...] = Field(
        default=("all",),
        description="Stops that are lifted only when another person agrees: `run`, `agent`,"
        " `tool`, `all`.",
    )
    approvers: tuple[str, ...] = Field(
        default=("operators", "security"),
        min_length=1,
        description="Groups of approvers who may agree; neither who stopped nor who asks.",
    )
    quorum: int = Field(default=1, ge=1, le=20, description="How many of them have to.")
    expires_in_seconds: int = Field(
        default=24 * 3600,
        ge=1,
        le=30 * 24 * 3600,
        description="How long they may take to answer.",
    )


class TraceConfig(_Section):
    """How the record is kept."""

    key: str = Field(
        default="",
        description="URI of the log's signing key: `file:`, `env:`, `pkcs11:` or `hv:`"
        " ([keys](../guides/keys.md)); a file in the state folder if empty.",
    )
    vault_key: str = Field(
        default="",
        description="URI of the key that seals recorded contents: `file:`, `env:` or `pkcs11:`; a"
        " file in the state folder if empty.",
    )
    origin: str | None = Field(
        default=None,
        max_length=160,
        description="Name of the log and of its key, as a URL without scheme"
        " (`example.com/payments`), the same for good; `wardline/` and a random id if empty."
        " No two logs of one key may share it.",
    )
    post_quantum: bool = Field(
        default=False,
        description="Sign each checkpoint with an ML-DSA-44 key, too, which a quantum computer"
        " does not forge: 3.3 KB and half a millisecond for each.",
    )
    epoch_hours: float | None = Field(
        default=None,
        gt=0,
        le=24 * 366,
        description="Sign each checkpoint with a key of the epoch, too, which is replaced and"
        " destroyed after so many hours and at each start, so that who takes today's keys forges"
        " nothing of an earlier epoch.",
    )
    evidence: Evidence = Field(
        default="durable",
        description="Weakest evidence level; a policy may ask for more, never for less.",
    )
    redact: tuple[str, ...] = Field(
        default=("secrets",),
        description="Detectors (`secrets`, `personal`, or the name of one of your own) whose"
        " findings are replaced in all that is recorded; an empty list keeps everything.",
    )
    inputs: bool = Field(
        default=False,
        description="Record the files that each call in a sandbox starts from (up to 2 MiB), so"
        " that `wardline trace rerun` can run it again.",
    )
    retain_days: int | None = Field(
        default=None,
        ge=1,
        le=36_500,
        description="Days after its last entry that a run's contents are kept; `wardline trace"
        " erase --expired` erases older ones, but those on hold.",
    )
    retain_kind_days: dict[ContentKind, Annotated[int, Field(ge=1, le=36_500)]] = Field(
        default_factory=dict,
        description="The same for one kind of contents each: `prompts`, `arguments`, `decisions`,"
        " `approvals`, `results` or `files`"
        " ([what is of which](../guides/retention.md)).",
    )
    responders: dict[str, str] = Field(
        default_factory=dict,
        max_length=16,
        description="Public keys (X25519, base64), by a name of yours, that alone open what is"
        " recorded: the broker cannot read it back, nor go on with a run that ended.",
    )
    replica: Path | None = Field(
        default=None,
        description="Folder on another disk where a second copy of the log is kept, which the"
        " evidence level `replicated` waits for.",
    )
    witnesses: dict[str, WitnessConfig] = Field(
        default_factory=dict,
        max_length=16,
        description="Who is asked to cosign how far the log goes, by a name of yours.",
    )
    witness_quorum: int = Field(
        default=1,
        ge=1,
        le=16,
        description="How many of them have to have cosigned, for the evidence level `witnessed`.",
    )
    known_checkpoints: Path | None = Field(
        default=None,
        description="Folder, away from the state folder, where the broker remembers how far its"
        " log went, so that a restored state folder is found, too.",
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
            ".claude.json",
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
        description="Names of files and folders, at any depth of the workspace, that no sandboxed"
        " tool sees in a folder or an overlay, beside the secrets that the `filesystem` table"
        " of the policies names. The broker's own never are seen.",
    )
    code_roots: tuple[Path, ...] = Field(
        default=(),
        description="Folders sandboxed tools may import from, beside the installed packages"
        " and the tool's own top-level package or module. They are shown whole, secrets too:"
        " name folders of code alone.",
    )


class ClientConfig(_Section):
    """One client that may use the daemon, and what its sessions may say of themselves.

    It is known by its user account, by a certificate, or by the tokens that
    `wardline service token create` makes for it.
    """

    uid: int | None = Field(default=None, ge=0, description="Its user id on this machine.")
    certificate: str = Field(
        default="",
        description="Name in its certificate (a DNS name, or a URI as `spiffe://…`), or"
        " `sha256:` and the digest of it.",
    )
    users: tuple[str, ...] = Field(
        default=(), description="People its sessions may act for, as names or patterns (`*`)."
    )
    agents: tuple[str, ...] = Field(
        default=(),
        description="Agents its sessions may be of, as names or patterns (`desk-*`).",
    )
    roles: tuple[str, ...] = Field(
        default=(), description="Roles its sessions may have, as names or patterns."
    )
    workspaces: tuple[Path, ...] = Field(
        default=(),
        description="Folders that its sessions may name as their workspace, or lie above it; with"
        " none, all work in the daemon's own.",
    )
    sessions: int = Field(
        default=SESSIONS, ge=1, le=512, description="Sessions it may have open at once."
    )
    calls: int = Field(
        default=CALLS,
        ge=1,
        le=1024,
        description="Calls it may have in hand at once; more are refused (`service.overloaded`).",
    )


class ResourceConfig(_Section):
    """A type of resource that other enforcement points ask about (AuthZEN)."""

    id: str = Field(description="Argument of its tools that names the resource.")
    actions: dict[str, str] = Field(description="The tool that stands for each action on it.")
    known: dict[str, dict[str, Any]] = Field(
        default_factory=dict,
        description="Resources that a search tries, by id, with arguments that are known of"
        " them.",
    )


class UpstreamConfig(_Section):
    """One MCP server behind the gateway: a command that speaks on stdin and stdout, or a URL."""

    command: tuple[str, ...] = Field(
        default=(), description="Program and arguments that start it."
    )
    url: str = Field(default="", description="Where it is reached by streamable HTTP.")
    secret: str | None = Field(
        default=None,
        description="Handle (`secret://name`) of the credential that is sent to a `url`.",
    )
    secret_header: str = Field(
        default="Authorization",
        pattern=r"^[A-Za-z0-9-]{1,64}$",
        description="Header it is put into.",
    )
    secret_prefix: str = Field(default="Bearer ", description="What stands before it there.")
    environment: tuple[str, ...] = Field(
        default=(), description="Variables a command gets, beside PATH, HOME and the like."
    )
    folder: Path | None = Field(
        default=None,
        description="Where a command runs; in a sandbox it is shown read-only as `/server`.",
    )
    sandbox: Isolation = Field(
        default="none",
        description="Weakest boundary a command runs behind (`process`, `container`, `kernel`);"
        " `none` is as this user, with all this user may do.",
    )
    profile: str | None = Field(
        default=None,
        description="Sandbox profile of such a command, for its whole life; without one it has"
        " no network, and a day.",
    )
    workspace: Literal["none", "overlay"] = Field(
        default="none",
        description="`overlay`: such a command finds the workspace at `/workspace`, and what a"
        " call changed there is decided after it.",
    )


class GatewayHttpConfig(_Section):
    """The gateway over HTTP, an OAuth 2 resource server (`wardline gateway run --http`)."""

    url: str = Field(
        default="",
        description="URL by which clients reach it (`https://mcp.example.com/mcp`), for which"
        " their tokens have to be (RFC 8707); from the address if empty.",
    )
    issuer: str = Field(
        default="", description="Authorization server, exactly as its tokens name it (`iss`)."
    )
    jwks: str = Field(
        default="", description="URL of the issuer's public keys, for tokens that are JWTs."
    )
    introspection: str = Field(
        default="", description="URL where any other token is asked about (RFC 7662)."
    )
    client_id: str = Field(default="", description="The gateway's own name there.")
    client_secret: SecretStr | None = Field(
        default=None, description="And its secret; set it by environment."
    )
    ca: Path | None = Field(
        default=None,
        description="Certificate authorities (PEM) of the issuer's server; those of public sites"
        " if unset.",
    )
    scopes: tuple[str, ...] = Field(default=(), description="Scopes that a token has to have.")
    hosts: tuple[str, ...] = Field(
        default=(),
        description="Names by which it is reached, beside `url` and the loopback; others are"
        " refused.",
    )
    origins: tuple[str, ...] = Field(
        default=(), description="Origins of web pages that may ask, beside its own."
    )
    tls_certificate: Path | None = Field(
        default=None,
        description="Certificate chain (PEM); needed for any address but the loopback.",
    )
    tls_key: Path | None = Field(
        default=None, description="Private key of `tls_certificate` (PEM)."
    )


class GatewayConfig(_Section):
    """MCP servers whose tools go through the broker (`wardline gateway`)."""

    upstream: dict[str, UpstreamConfig] = Field(
        default_factory=dict, description="The servers, by the name their tools begin with."
    )
    http: GatewayHttpConfig = Field(
        default=GatewayHttpConfig(), description="How it is reached over HTTP."
    )
    pins: Path = Field(
        default=Path("gateway-tools.toml"),
        description="File of the approved tools; relative to the settings file.",
    )


class ServiceConfig(_Section):
    """The broker as a process of its own (`wardline serve`)."""

    socket: Path | None = Field(
        default=None,
        description="Socket it listens on; `broker.sock` in the state folder if empty.",
    )
    http: str = Field(
        default="",
        description="IP address and port of its HTTP interface (`127.0.0.1:8181`), with"
        " `wardline[service]`; none if empty.",
    )
    otlp: str = Field(
        default="",
        description="OpenTelemetry collector (`http://127.0.0.1:4318`, OTLP over HTTP) that gets a"
        " span of each call, with `wardline[otlp]`; none if empty.",
    )
    url: str = Field(
        default="",
        description="Where people reach the console (`https://approve.example.com`): its host is"
        " the site of their passkeys, and messages link to it.",
    )
    tls_certificate: Path | None = Field(
        default=None,
        description="Certificate chain (PEM) with which it is reached over the network; needed"
        " for any address but the loopback.",
    )
    tls_key: Path | None = Field(
        default=None, description="Private key of `tls_certificate` (PEM)."
    )
    hosts: tuple[str, ...] = Field(
        default=(),
        description="Names by which browsers and clients reach the HTTP interface, beside"
        " `localhost`; others are refused.",
    )
    tcp: str = Field(
        default="",
        description="IP address and port where agents of other machines and containers reach it"
        " (`0.0.0.0:8182`), by a certificate or a token; none if empty.",
    )
    client_ca: Path | None = Field(
        default=None,
        description="Certificates (PEM) of the authorities whose clients it believes over"
        " `tcp`; none has a certificate if empty.",
    )
    revoked_certificates: tuple[str, ...] = Field(
        default=(),
        description="Certificates of clients that count no more: `sha256:` and the digest, or a"
        " name in them.",
    )
    tools: tuple[str, ...] = Field(
        default=(), description="Modules whose guarded tools it knows."
    )
    clients: dict[str, ClientConfig] = Field(
        default_factory=dict,
        description="Who may use it, by a name of yours; its own account alone if empty.",
    )
    evidence: Path | None = Field(
        default=None,
        description="Folder of what the release gate and drills measured (`.wardline-evidence`),"
        " whose figures `/metrics` and the console tell; none if empty.",
    )
    resources: dict[str, ResourceConfig] = Field(
        default_factory=dict,
        description="Types of resources that AuthZEN clients ask about, beside `tool`.",
    )


class ConnectionConfig(_Section):
    """How this program is known to a daemon over the network (`broker = "tcp://…"`)."""

    token: SecretStr | None = Field(
        default=None, description="Token that `wardline service token create` printed."
    )
    ca: Path | None = Field(
        default=None,
        description="Certificates (PEM) of the authorities that may have signed the daemon's;"
        " the system's if empty.",
    )
    certificate: Path | None = Field(
        default=None, description="Certificate (PEM) of this program, in the place of a token."
    )
    key: Path | None = Field(default=None, description="Private key of `certificate` (PEM).")


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
    stop: StopConfig = Field(default=StopConfig(), description="Stops.")
    approvers: dict[str, ApproverConfig] = Field(
        default_factory=dict, description="People who may approve, by name."
    )
    trace: TraceConfig = Field(default=TraceConfig(), description="Trace.")
    sandbox: SandboxConfig = Field(default=SandboxConfig(), description="Sandboxes.")
    broker: str = Field(
        default="",
        description="Address of a daemon (`unix:/run/wardline/broker.sock`,"
        " `tcp://broker.example:8182`) that decides, records and runs in this process's stead;"
        " empty for a broker in this process.",
    )
    connection: ConnectionConfig = Field(
        default=ConnectionConfig(), description="How the daemon knows this program."
    )
    gateway: GatewayConfig = Field(
        default=GatewayConfig(), description="MCP servers behind the broker."
    )
    service: ServiceConfig = Field(default=ServiceConfig(), description="The daemon.")

    _source: SettingsFile | None = PrivateAttr(default=None)

    @property
    def source(self) -> SettingsFile | None:
        """The settings file these came from, in part or whole; None when there is none."""
        return self._source

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 - the order says it all
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - no hidden file
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - no hidden folder
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Keyword, then environment; `load` adds the settings file."""
        return (init_settings, env_settings)

    @classmethod
    def load(cls, file: Path | None = None, **overrides: Any) -> BrokerConfig:
        """Reads the settings.

        Args:
            file: a TOML file that must exist; by default the one `WARDLINE_CONFIG` names, or
                the first `wardline.toml` from the working directory upwards, which must be
                trusted (`wardline trust`). Relative paths in it start from its folder.
            **overrides: settings that win over file and environment.

        Raises:
            ConfigError: the file is missing, not trusted or not TOML, a key is unknown, a value
                does not fit.
        """
        _refuse_unknown_variables(cls)
        source = settings_file(file)
        document: dict[str, Any] = {}
        if source is not None:
            source.require_trust(TrustList())
            document = _anchored(cls, source.document(), source.path.parent)
            if source.origin == "found":
                document.setdefault("state", str(source.path.parent / ".wardline"))

        class FromFile(cls):  # type: ignore[misc, valid-type]  # the file is known only now
            @classmethod
            def settings_customise_sources(
                cls, settings_cls: type[BaseSettings], **sources: Any
            ) -> tuple[PydanticBaseSettingsSource, ...]:
                known = super().settings_customise_sources(settings_cls, **sources)
                return (*known, InitSettingsSource(settings_cls, init_kwargs=document))

        try:
            loaded = FromFile(**overrides)
        except (ValidationError, SettingsError, ValueError) as err:
            named = f"{source.path}, " if source is not None else ""
            said = f"{named}WARDLINE_* variables or keywords"
            raise ConfigError(f"{said}: {_explain(err)}") from err
        config = cls.model_construct(
            **{name: getattr(loaded, name) for name in cls.model_fields}
        )
        config._source = source  # noqa: SLF001 - its own
        return config


_KEY_URIS = ("key", "vault_key")


def _anchored(model: type[BaseModel], document: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The document of a settings file with its relative paths meant from its folder."""
    anchored = dict(document)
    for name, field in model.model_fields.items():
        if name not in document:
            continue
        value, kinds = document[name], _kinds(field.annotation)
        section = next((kind for kind in kinds if _is_section(kind)), None)
        if section is not None and isinstance(value, dict):
            if get_origin(field.annotation) is dict:
                anchored[name] = {
                    key: _anchored(section, each, folder) if isinstance(each, dict) else each
                    for key, each in value.items()
                }
            else:
                anchored[name] = _anchored(section, value, folder)
        elif Path in kinds:
            anchored[name] = _from(folder, value)
    for name in _KEY_URIS if model is TraceConfig else ():
        scheme, colon, path = str(document.get(name, "")).partition(":")
        if scheme == "file":
            anchored[name] = f"{scheme}{colon}{_from(folder, path)}"
    return anchored


def _kinds(annotation: Any) -> set[Any]:
    inner = get_args(annotation)
    return {annotation}.union(*map(_kinds, inner)) if inner else {annotation}


def _is_section(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def _from(folder: Path, value: Any) -> Any:
    if isinstance(value, list):
        return [_from(folder, each) for each in value]
    return str(folder / value) if isinstance(value, str) else value


_OTHER_VARIABLES = frozenset(
    {
        "WARDLINE_APPROVER_KEY",
        "WARDLINE_CONFIG",
        "WARDLINE_DEMO_MODEL",
        "WARDLINE_KNOWN_CHECKPOINTS",
    }
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
