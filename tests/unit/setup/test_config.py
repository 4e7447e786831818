"""Settings: where they come from, in which order, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from permissions.errors import ConfigError
from permissions.setup.config import BrokerConfig
from permissions.setup.trust import TrustList

if TYPE_CHECKING:
    from collections.abc import Callable

KEY = "x" * 44


@pytest.fixture
def file(tmp_path: Path) -> Callable[[str], Path]:
    def write(text: str) -> Path:
        path = tmp_path / "settings.toml"
        path.write_text(text)
        return path

    return write


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


def test_without_anything_each_default_refuses_rather_than_allows() -> None:
    config = BrokerConfig.load()

    assert config.approvers == {}
    assert config.trace.evidence == "durable"
    assert config.pdp.engine == "embedded"
    assert (config.state, config.workspace) == (Path(".wardline"), Path())


def test_the_file_of_the_folder_is_read_by_itself(tmp_path: Path) -> None:
    (tmp_path / "wardline.toml").write_text('environment = "here"\n')
    TrustList(tmp_path / "state/wardline/trusted.json").add(
        tmp_path / "wardline.toml", b'environment = "here"\n'
    )

    assert BrokerConfig.load().environment == "here"


def test_keyword_beats_environment_beats_file_beats_default(
    file: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = file('environment = "file"\n[pdp]\nengine = "opa"\nopa_deadline_ms = 7\n')
    assert BrokerConfig.load(path).environment == "file"

    monkeypatch.setenv("WARDLINE_ENVIRONMENT", "variable")
    monkeypatch.setenv("WARDLINE_PDP__ENGINE", "embedded")
    config = BrokerConfig.load(path)
    assert (config.environment, config.pdp.engine) == ("variable", "embedded")
    assert config.pdp.opa_deadline_ms == 7

    assert BrokerConfig.load(path, environment="keyword").environment == "keyword"
    assert BrokerConfig.load(path).pdp.soft_deadline_ms == 50


def test_every_section_of_a_whole_file_arrives(
    file: Callable[[str], Path], tmp_path: Path
) -> None:
    config = BrokerConfig.load(
        file(
            f"""
            call_deadline_seconds = 5
            [approval]
            mode = "suspend"
            [approvers."first.last"]
            groups = ["a", "b"]
            public_key = "{KEY}"
            [trace]
            evidence = "buffered"
            [sandbox]
            backends = []
            code_roots = ["src"]
            [sandbox.profiles.wide]
            memory_mb = 512
            """
        )
    )

    assert config.call_deadline_seconds == 5
    assert config.approvers["first.last"].groups == ("a", "b")
    assert config.sandbox.profiles["wide"].memory_mb == 512
    assert config.sandbox.profiles["wide"].processes == 64
    assert config.sandbox.code_roots == (tmp_path / "src",)


REFUSED = {
    "unknown key": ("enviroment = 'x'", "enviroment: Extra inputs"),
    "unknown key in a section": ("[pdp]\nengin = 'opa'", "pdp.engin: Extra inputs"),
    "unknown section": ("[policy]\n", "policy: Extra inputs"),
    "unknown engine": ("[pdp]\nengine = 'cedar'", "pdp.engine: Input should be"),
    "hidden path": ("[sandbox]\nhidden = ['a/b']", "sandbox.hidden"),
    "hidden parent": ("[sandbox]\nhidden = ['..']", "sandbox.hidden"),
    "unknown backend": ("[sandbox]\nbackends = ['none']", "sandbox.backends"),
    "no signing": ("[trace]\nsign = false", "trace.sign: Extra inputs"),
    "no evidence": ("[trace]\nevidence = 'none'", "trace.evidence"),
    "zero seconds": ("call_deadline_seconds = 0", "call_deadline_seconds"),
    "not toml": ("environment = ", "settings.toml"),
    "the same key twice": ("environment = 'a'\nenvironment = 'b'", "settings.toml"),
    "bytes that are no text": ("\udcff", "settings.toml"),
}


@pytest.mark.parametrize("case", REFUSED.values(), ids=REFUSED.keys())
def test_what_does_not_fit_is_refused_with_its_position(
    case: tuple[str, str], tmp_path: Path
) -> None:
    path = tmp_path / "settings.toml"
    path.write_bytes(case[0].encode(errors="surrogateescape"))

    with pytest.raises(ConfigError) as caught:
        BrokerConfig.load(path)

    assert case[1] in str(caught.value)


def test_a_named_file_has_to_exist(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="does not exist"):
        BrokerConfig.load(tmp_path / "missing.toml")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("WARDLINE_PDP__ENGIN", "opa"),
        ("WARDLINE_CALL_DEADLINE_SECONDS", "soon"),
        ("WARDLINE_PDP", "{"),
        ("WARDLINE_APPROVERS", "[]"),
    ],
)
def test_a_variable_that_does_not_fit_is_refused(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)

    with pytest.raises(ConfigError):
        BrokerConfig.load()


def test_an_unknown_keyword_is_refused() -> None:
    with pytest.raises(ConfigError, match="enviroment"):
        BrokerConfig.load(enviroment="x")


def test_the_token_of_a_server_is_shown_to_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WARDLINE_PDP__OPA_TOKEN", "x-secret")
    config = BrokerConfig.load()

    assert config.pdp.opa_token is not None
    assert config.pdp.opa_token.get_secret_value() == "x-secret"
    assert "x-secret" not in repr(config) + str(config.model_dump())
    monkeypatch.setenv("WARDLINE_PDP__OPA_DEADLINE_MS", "x-secret")
    with pytest.raises(ConfigError) as caught:
        BrokerConfig.load()
    assert "x-secret" not in str(caught.value)


def test_settings_do_not_change_once_built() -> None:
    config: Any = BrokerConfig.load()

    with pytest.raises(ValueError, match="frozen"):
        config.environment = "other"
    with pytest.raises(ValueError, match="frozen"):
        config.pdp.engine = "opa"
