"""Names under which tools really keep secrets, and names that only look alike."""

from __future__ import annotations

import string
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from policy_cases import DirectEngine, base_document, cases_bundle, merged

from permissions.pdp.bundle import load_bundle
from permissions.tools.secret_paths import SecretPaths
from permissions.tools.steering_paths import SteeringPaths
from permissions.tools.targets import PathArg, parse_targets

if TYPE_CHECKING:
    from pathlib import Path

ENGINE = DirectEngine(cases_bundle())
TABLE = load_bundle().data["wardline"]["tables"]["filesystem"]
SECRETS = SecretPaths.of_table(TABLE)
STEERING = SteeringPaths.of_table(TABLE)

HELD = [
    ".env", ".ENV", ".env.production", ".env.local", ".env.dev.local", ".envrc", "app/.env.staging",
    "secrets/.env.prod", "prod.env", ".env_backup", ".vault-token", ".cargo/credentials.toml",
    ".cargo/credentials", "terraform.tfstate", "terraform.tfstate.backup", "infra/x.tfstate",
    "kubeconfig", "dev.kubeconfig", ".kube/config", "service-account.json", "service-account-1.json",
    "service_account.json", "client_secret_12.json", "key.jks", "release.keystore", "id_rsa",
    "id_dsa", "id_ecdsa", "id_ed25519", "id_ed25519_sk", "id_rsa.bak", "key.pem", "key.pem.bak",
    "server.key", "server.key.old", "vpn.ovpn", "putty.ppk", "x.p12", "x.pfx", "x.p8", "x.kdbx",
    ".git/config", "sub/.git/config", ".git-credentials", ".netrc", "_netrc", ".npmrc", ".pypirc",
    ".pgpass", ".my.cnf", ".htpasswd", ".aws/credentials", ".azure/x", ".docker/config.json",
    ".ssh/known_hosts", ".gnupg/x", ".config/gcloud/application_default_credentials.json",
    ".config/gh/hosts.yml", ".config/rclone/rclone.conf", ".m2/settings.xml", "token.json",
    ".gradle/gradle.properties", ".streamlit/secrets.toml", "credentials.json", "secrets.yml",
    ".bash_history", ".terraform.d/credentials.tfrc.json", ".gem/credentials", "auth.json",
    ".dev.vars", ".dev.vars.production", ".secrets.toml", "local.settings.json", ".vault_pass",
    "ansible/vault_pass.txt", ".passwd-s3fs", ".smbcredentials", ".claude/.credentials.json",
    ".gemini/oauth_creds.json", ".codex/auth.json", "gha-creds-0123abcd.json", "wallet.dat",
    ".pulumi/credentials.json", ".config/doctl/config.yaml", ".config/sops/age/keys.txt",
    ".config/github-copilot/hosts.json", ".config/containers/auth.json", "kaggle.json",
    ".config/google-chrome/Default/Cookies", ".local/share/keyrings/login.keyring",
    ".config/ngrok/ngrok.yml", ".ngrok2/ngrok.yml", ".cf/config.json", "app.jceks", "x.pkcs12",
    ".wrangler/config/default.toml", ".config/stripe/config.toml", "jupyter_cookie_secret",
    "shop-firebase-adminsdk-a1b2c-0123456789.json", "credentials.json.bak", "secrets.yml~", ".npmrc.old",
    "kubeconfig.bak", "x.p12.bak", "wallet.kdbx~", ".ssh.old/config", ".netrc.swp", "auth.json.1",
    ".envs/.production/.postgres", ".flaskenv", "#.env#", "app.env.local", "krb5cc_1000", "http.keytab",
    "ssh_host_ed25519_key", "deploy_id_rsa", "wg0.conf", "kubeconfig.yaml", "terraform.tfvars",
    "prod.auto.tfvars", "me_accessKeys.csv", "rootkey.csv", ".cloudflared/0123.json", "logins.json",
    ".mozilla/firefox/x/key4.db", ".config/BraveSoftware/x", ".authinfo", ".token", "passwords.txt",
    ".vault_token", "secrets.prod.yaml", "openai_api_key.txt", ".config/glab-cli/config.yml",
    "etc/shadow", "etc/gshadow-", "etc/sudoers.d/web", "etc/ssl/private/x", "dev/mem", "run/secrets/db",
    "etc/NetworkManager/system-connections/wlan.nmconnection", "etc/letsencrypt/live/x/privkey",
    ".claude.json", "home/.claude.json.backup", ".copilot/config.json", ".continue/config.yaml",
    ".local/share/opencode/mcp-auth.json", ".augment/session.json", ".codeium/config.json",
    ".local/share/crush/crush.json", ".local/share/amazon-q/data.sqlite3", ".mcp-auth/x/tokens",
    ".config/Cursor/User/globalStorage/state.vscdb", ".aider.conf.yml", ".openhands/settings.json",
    ".config/io.datasette.llm/keys.json", ".cache/huggingface/stored_tokens", ".bunfig.toml",
    ".config/pypoetry/auth.toml", ".local/share/uv/credentials/x", "etc/pip.conf", ".config/pnpm/rc",
    ".m2/settings-security.xml", ".nuget/NuGet/NuGet.Config", ".hex/hex.config", ".gitcookies",
    ".config/helm/repositories.yaml", "etc/kubernetes/kubelet.conf", "kube_config_cluster.yml",
    "kubeconfig-prod", "etc/rancher/rke2/rke2.yaml", "talosconfig", ".config/argocd/config", ".tsh/x",
    ".aliyun/config.json", ".bluemix/config.json", ".config/yandex-cloud/config.yaml", ".tccli/x",
    ".config/openstack/clouds.yaml", "clouds.yml", "prod-openrc.sh", ".ovh.conf", ".supabase/access-token",
    ".config/exoscale/exoscale.toml", ".jfrog/jfrog-cli.conf.v6", ".sfdx/a@b.json", ".modal.toml",
    "gcp-prod-credentials.json", "cookies.txt", ".config/msmtp/config", "sasl_passwd.db",
    ".mbsyncrc", ".pg_service.conf", ".cassandra/credentials", "credentials-config.json", "cwallet.sso",
    "etc/ipsec.secrets", "wpa_supplicant.conf", "var/lib/tailscale/tailscaled.state", "vault_pass.prod",
    "app/etc/env.php", ".microsoft/usersecrets/x/secrets.json", ".local/share/jupyter/runtime/x.json",
    "etc/gitlab-runner/config.toml", ".config/Slack/Cookies", "secret.yaml", "proc/self/environ",
]  # fmt: skip
OPEN = [
    ".gitignore", ".editorconfig", ".env.example", ".env.sample", ".env.template", "example.env",
    ".environment", "environment.yml", "env.py", "envoy.yaml", "id_generator.py", "id_rsa.pub",
    "monkey.txt", "keys.md", "turkey", "tokenizer.json", "git/config", ".github/workflows/x.yml",
    "src/credentials.py", "secrets.py", "docs/kubeconfig.md", "terraform.tf", "main.tfvars",
    ".config/other.toml", "dev.vars.md", "secrets_test.py", "settings.json", "wallet.py",
    "password.py", "token.py", "shadow.css", "private_key.py", "wg.py", "firebase.json",
    "keytab.c", "passwd.go", "env.local.md", "main.tf.bak", "notes.txt~", "README.old", "envs/dev.yml",
    "cacert.pem", "service.json", "account.json", "pem", "a.pem.md", "cargo/credentials", "auth.py",
    "claude.json", "src/continue/config.yaml", "pnpm/readme", "copilot/config.json", "openrc.py",
    "pip/conf.py", "credentials.json.md", "cloud.yaml", "kubeconfigs.go", "cookies.md", "secret.py",
    "etc/hosts", "etc/ssl/openssl.cnf", "src/shadow/app.py", "dev/memory.py", "run/secret.py",
]  # fmt: skip


def decided(path: str, access: str = "read") -> set[str]:
    target = {
        "kind": "path", "argument": "path", "access": access, "path": f"/srv/desk/{path}",
        "resolved": f"/srv/desk/{path}", "inside_workspace": True, "relative": path,
        "hidden": any(part.startswith(".") for part in path.split("/")), "links": 1,
    }  # fmt: skip
    effect = {"read": "read", "write": "write"}[access]
    patch = {
        "action": {"properties": {"effect": effect, "impact": "low"}},
        "resource": {"properties": {"targets": [target]}},
    }
    response = ENGINE.ask(merged(base_document(), patch))
    return {reason["code"] for reason in response["context"]["reasons"]}


@pytest.mark.parametrize("path", HELD)
def test_a_name_that_holds_secrets_is_refused(path: str) -> None:
    assert "filesystem.secret" in decided(path)
    assert SECRETS.is_secret(path)


@pytest.mark.parametrize("path", OPEN)
def test_a_name_that_only_looks_alike_is_read(path: str) -> None:
    assert decided(path) == set()
    assert not SECRETS.is_secret(path)


NAMES = st.sampled_from([*HELD, *OPEN]) | st.text(string.ascii_letters + "._-~/*", max_size=12)


@given(NAMES, NAMES)
def test_executors_and_policies_call_the_same_paths_secret(one: str, other: str) -> None:
    for path in (one, one + other, f"{one}/{other}"):
        assert SECRETS.is_secret(path) == ("filesystem.secret" in decided(path))


ASKED = {
    ".gitignore": "filesystem.hidden", ".editorconfig": "filesystem.hidden",
    ".env.example": "filesystem.hidden", "Makefile": "filesystem.runs_later",
    "package.json": "filesystem.runs_later", "sub/pyproject.toml": "filesystem.runs_later",
    "setup.py": "filesystem.runs_later", "Dockerfile": "filesystem.runs_later",
    "lib/x.pth": "filesystem.runs_later", "random.py": "filesystem.runs_later",
    "eslint.config.js": "filesystem.runs_later", "lefthook.yml": "filesystem.runs_later",
    "turbo.json": "filesystem.runs_later", "bunfig.toml": "filesystem.runs_later",
    "infra/main.tf": "filesystem.runs_later", "default.nix": "filesystem.runs_later",
    "BUILD.bazel": "filesystem.runs_later", "requirements.txt": "filesystem.runs_later",
    "web/nx.json": "filesystem.runs_later", "a.csproj": "filesystem.runs_later",
    "buildspec.yml": "filesystem.runs_later", "Pipfile": "filesystem.runs_later",
    "gradle/wrapper/gradle-wrapper.properties": "filesystem.runs_later",
    "node_modules/x/index.js": "filesystem.runs_later", "CONVENTIONS.md": "filesystem.runs_later",
    "lib/site-packages/x.py": "filesystem.runs_later", "src/json.so": "filesystem.runs_later",
    "policies/allow.rego": "filesystem.runs_later", "libs/a.jar": "filesystem.runs_later",
    "a/__pycache__/m.cpython-311.pyc": "filesystem.runs_later",
    "go.mod": "filesystem.runs_later", "x.code-workspace": "filesystem.runs_later",
}  # fmt: skip
DENIED = [
    ".git/hooks/pre-commit", ".github/workflows/x.yml", ".vscode/tasks.json", ".bashrc",
    "CLAUDE.md", "CLAUDE.local.md", "AGENTS.override.md", ".cursorrules", "opencode.json", ".envrc",
    "sub/conftest.py", ".mise.toml", ".husky/x", "crush.json", ".devcontainer.json", ".roomodes",
]  # fmt: skip


@pytest.mark.parametrize(("path", "code"), ASKED.items())
def test_writing_what_is_hidden_or_run_later_is_asked_for(path: str, code: str) -> None:
    assert decided(path, "write") == {code}


@pytest.mark.parametrize("path", DENIED)
def test_writing_what_steers_others_is_denied(path: str) -> None:
    assert decided(path, "write") & {"filesystem.protected", "filesystem.secret"}


@pytest.mark.parametrize("path", ["a.txt", "src/random.py", "docs/makefile.md", "lib/types.py"])
def test_an_ordinary_file_is_written_alone(path: str) -> None:
    assert decided(path, "write") == set()


@pytest.mark.parametrize(
    "path", dict.fromkeys([*ASKED, *DENIED, *HELD[:20], "a.txt", "src/random.py"])
)
def test_executors_and_policies_agree_on_what_steers_others(path: str) -> None:
    """What comes out below a folder is asked about when an argument names it."""
    found = decided(path, "write") & {"filesystem.protected", "filesystem.runs_later"}

    assert STEERING.has(path) == bool(found)


def test_a_hard_link_to_a_secret_is_asked_for(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("KEY=1")
    (tmp_path / "notes").hardlink_to(tmp_path / ".env")
    (tmp_path / "alone").write_text("")

    links = {
        name: parse_targets(PathArg(), "path", name, tmp_path)[0]["links"]
        for name in ("notes", "alone", "none", ".")
    }

    assert links == {"notes": 2, "alone": 1, "none": None, ".": None}
