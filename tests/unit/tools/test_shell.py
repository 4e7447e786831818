"""What a command will run: read by rule here, and held against real shells."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from permissions.tools.shell.reading import read_argv, read_text
from permissions.tools.shell.text import parse
from permissions.tools.targets import CommandArg, TargetError, parse_targets

if TYPE_CHECKING:
    from pathlib import Path

THROUGH: dict[str, tuple[str, list[str]]] = {
    "timeout": ("timeout -k 3 --signal=KILL 5 ssh a", ["timeout", "ssh"]),
    "timeout, abbreviated": ("timeout --sig KILL 5 ssh a", ["timeout", "ssh"]),
    "nice": ("nice -n 5 ssh a", ["nice", "ssh"]),
    "nice, old": ("nice -5 sudo id", ["nice", "sudo", "id"]),
    "nohup": ("nohup ssh a", ["nohup", "ssh"]),
    "env": ("env -i -u HOME A=1 ssh a", ["env", "ssh"]),
    "stdbuf": ("stdbuf -o0 -eL ssh a", ["stdbuf", "ssh"]),
    "time": ("time ssh a", ["time", "ssh"]),
    "setsid": ("setsid -w ssh a", ["setsid", "ssh"]),
    "ionice": ("ionice -c 2 -n 0 ssh a", ["ionice", "ssh"]),
    "chroot": ("chroot --userspec=a:b / ssh a", ["chroot", "ssh"]),
    "unshare": ("unshare -rm --fork ssh a", ["unshare", "ssh"]),
    "taskset": ("taskset -c 0 ssh a", ["taskset", "ssh"]),
    "sudo": ("sudo -u bob A=1 ssh a", ["sudo", "ssh"]),
    "sudo-rs": ("sudo-rs -n ssh a", ["sudo-rs", "ssh"]),
    "doas": ("doas -u bob ssh a", ["doas", "ssh"]),
    "one in another": ("timeout 5 nice env A=1 ssh a", ["timeout", "nice", "env", "ssh"]),
    "xargs": ("xargs -n1 -P 4 ssh a", ["xargs", "ssh"]),
    "find": ("find . -name x -exec ssh {} ;", ["find", "ssh"]),
    "find, twice": ("find . -exec ls {} + -execdir ssh ;", ["find", "ls", "ssh"]),
    "loader": ("/lib64/ld-linux-x86-64.so.2 --library-path /x /usr/bin/ssh a",
               ["ld-linux-x86-64.so.2", "ssh"]),
    "busybox": ("busybox wget a", ["busybox", "wget"]),
    "runner": ("uv run ssh a", ["uv", "ssh"]),
    "folders": ("/usr/bin/timeout 5 /usr/bin/ssh", ["timeout", "ssh"]),
    "an argument only": ("grep -r ssh .", ["grep"]),
    "rlwrap": ("rlwrap -a ssh a", ["rlwrap", "ssh"]),
    "proxychains4": ("proxychains4 -q -f x ssh a", ["proxychains4", "ssh"]),
    "npx": ("npx --yes -p x ssh a", ["npx", "ssh"]),
    "uvx": ("uvx --from x ssh a", ["uvx", "ssh"]),
    "pipx": ("pipx run ssh a", ["pipx", "ssh"]),
    "systemd-inhibit": ("systemd-inhibit --what=x ssh a", ["systemd-inhibit", "ssh"]),
    "sshpass": ("sshpass -p x ssh a", ["sshpass", "ssh"]),
    "choom": ("choom -n 1 -- ssh a", ["choom", "ssh"]),
    "i386": ("i386 ssh a", ["i386", "ssh"]),
    "fakechroot": ("fakechroot ssh a", ["fakechroot", "ssh"]),
    "libtool": ("libtool --mode=execute ssh a", ["libtool", "ssh"]),
    "perf": ("perf record ssh a", ["perf", "ssh"]),
    "rr": ("rr record ssh a", ["rr", "ssh"]),
    "chpst": ("chpst -u x ssh a", ["chpst", "ssh"]),
    "setuidgid": ("setuidgid x ssh a", ["setuidgid", "ssh"]),
    "softlimit": ("softlimit -m 5 ssh a", ["softlimit", "ssh"]),
    "cgexec": ("cgexec -g cpu:x ssh a", ["cgexec", "ssh"]),
    "aa-exec": ("aa-exec -p x ssh a", ["aa-exec", "ssh"]),
    "runcon": ("runcon x ssh a", ["runcon", "ssh"]),
    "daemonize": ("daemonize -v /usr/bin/ssh a", ["daemonize", "ssh"]),
    "guix": ("guix shell openssh -- ssh a", ["guix", "ssh"]),
    "nix": ("nix shell nixpkgs#a -- ssh a", ["nix", "ssh"]),
    "mise": ("mise x -- ssh a", ["mise", "ssh"]),
    "aws-vault": ("aws-vault exec me -- ssh a", ["aws-vault", "ssh"]),
    "pnpm": ("pnpm dlx ssh a", ["pnpm", "ssh"]),
    "emulator": ("qemu-x86_64 /usr/bin/ssh a", ["qemu-x86_64", "ssh"]),
    "no emulator": ("qemu-img info a", ["qemu-img"]),
    "box64": ("box64 ssh a", ["box64", "ssh"]),
    "entr": ("entr -r ssh a", ["entr", "ssh"]),
    "timelimit": ("timelimit -t 5 ssh a", ["timelimit", "ssh"]),
    "run-one": ("run-one ssh a", ["run-one", "ssh"]),
    "zellij": ("zellij run -- ssh a", ["zellij", "ssh"]),
    "gpg-agent": ("gpg-agent --daemon ssh a", ["gpg-agent", "ssh"]),
    "git settings": ("git config user.name alias", ["git"]),
    "make variables": ("make -j4 PREFIX=/usr V=1 install", ["make"]),
    "cc": ("gcc -DBUG -Wextra -o a a.c", ["gcc"]),
}  # fmt: skip


@pytest.mark.parametrize(("words", "programs"), THROUGH.values(), ids=THROUGH)
def test_a_program_that_starts_another_is_looked_through(
    words: str, programs: list[str]
) -> None:
    reading = read_argv(words.split())

    assert [each.program for each in reading.commands] == programs
    assert (reading.doubts, reading.shell) == ([], False)


SHELLS: dict[str, tuple[list[str], list[str]]] = {
    "bash -c": (["bash", "-c", "cd x && ssh a"], ["bash", "cd", "ssh"]),
    "sh -ec --": (["/bin/sh", "-ec", "--", "ssh a"], ["sh", "ssh"]),
    "bash -lc": (["bash", "--norc", "-lc", "ssh a"], ["bash", "ssh"]),
    "behind a wrapper": (["timeout", "5", "bash", "-c", "ssh a"], ["timeout", "bash", "ssh"]),
    "in itself": (["sh", "-c", "bash -c 'sh -c \"ssh a\"'"], ["sh", "bash", "sh", "ssh"]),
    "su -c": (["su", "bob", "-c", "ssh a"], ["su", "ssh"]),
    "script": (["script", "-qc", "ssh a", "/dev/null"], ["script", "ssh"]),
    "flock": (["flock", "/tmp/x", "-c", "ssh a"], ["flock", "ssh"]),
    "watch": (["watch", "-n", "1", "ssh a"], ["watch", "ssh"]),
    "busybox sh": (["busybox", "sh", "-c", "ssh a"], ["busybox", "sh", "ssh"]),
    "xargs sh": (["find", ".", "-exec", "sh", "-c", "ssh $1", ";"], ["find", "sh", "ssh"]),
}  # fmt: skip


@pytest.mark.parametrize(("argv", "programs"), SHELLS.values(), ids=SHELLS)
def test_an_argv_that_starts_a_shell_is_a_text_for_a_shell(
    argv: list[str], programs: list[str]
) -> None:
    reading = read_argv(argv)

    assert reading.shell
    assert [each.program for each in reading.commands] == programs


OPEN = [
    "python3 -c pass", "python3.12 -Ic pass", "perl -ne 1", "ruby -e 1", "node --eval=1", "php -r 1",
    "python3", "python3 -", "awk BEGIN{system(x)}", "sed 1e", "sed s/a/b/e x", "sed -n -- 1e x", "sed -l -- 1e x", "sed -e 1e -- x",
    "git -c a.b=c fetch",
    "git bisect run x", "tar --checkpoint-action=exec=x -cf a b", "tar -I x -cf a b",
    "rsync -e x a b", "find . -exec {} ;", "xargs env", "xargs sh -c", "bash", "bash x.sh",
    "Rscript -e x", "R -e x", "scala -e x", "elixir -e x", "octave --eval x", "ipython -c x", "racket -e x",
    "python3 -m timeit x", "python3 -mpdb x", "ex -c !x f", "gawk -lx 1", "gawk --load=x 1", "make SHELL=x",
    "make X=$(shell,x)", "cmake -E env x", "git config alias.x !x", "git config core.pager x", "git grep -Ox y",
    "git clone -u x y", "go test -exec x", "gcc -wrapper x a.c", "pandoc --lua-filter=x y", "fzf --preview x",
    "tcpdump -z x", "rpm --eval x", "tar --rmt-command=x -cf a:b c", "psql -c \\!x", "mysql -e \\!x",
    "apt-get -o A::B=x update", "openssl req -engine x", "install --strip-program=x a b", "npx -c $x",
    "yt-dlp --exec x y", "patch -e x", "svn --editor-cmd x ci", "hg --config alias.x=!x x",
    "zsh -c ls", "parallel ssh ::: a", "env -S ssh", "timeout --unknown 5 ssh", "sudo -s", "",
    "xargs git", "xargs -0 tar -xf", "xargs find", "xargs sort -u", "xargs nohup make",
    "gdb --args ssh a", "hyperfine ssh", "ed -s x", "latexmk -e x", "deno eval x", "crystal eval x",
    "ansible all -m shell", "openssl engine -t x", "nmap --script x a", "ag --pager x y", "ld -plugin x", "cmd /c x",
    "start-stop-daemon --start --exec x", "run-parts d", "aws-vault exec me", "nix develop -c ssh",
    "systemd-nspawn -D x", "dtach -n x ssh",
    "ssh/", "env LD_PRELOAD=x ls", "unshare -r", "sudo -X y ls",
]  # fmt: skip


@pytest.mark.parametrize("words", OPEN)
def test_what_only_running_it_would_show_is_a_doubt(words: str) -> None:
    assert read_argv(words.split(" ")).doubts


OPEN_TEXTS = [
    "$x a", "`echo ssh` a", "s*h a", "{ssh,a}", "~/bin/x", "echo '", "eval $x", ". ./x", "source x",
    "alias ls=ssh; ls", "PATH=/x ls", "export LD_PRELOAD=x", "trap $x EXIT", "bash <<< 'ssh a'",
    "cat x | sh", "x='$(ssh)'; echo $((x))", "echo ${x@P}", "hash -p ssh ls", "if", "env $x ls",
    "timeout $x ssh", "python3 -c $x", "find . $x", "exec $x", "command $x",
    "tar cf x *", "git $x", 'rsync "$x" a', "sort [ab]", "find * -name x", "make `x`",
]  # fmt: skip


@pytest.mark.parametrize("text", OPEN_TEXTS)
def test_a_text_that_is_not_all_in_view_is_a_doubt(text: str) -> None:
    assert read_text(text).doubts


@pytest.mark.parametrize(
    "text",
    ["tar cf x -- *", "git add ./$x", "sort /tmp/*.txt", "ls *", "find src/$x", "rg x a$y"],
)
def test_a_word_that_can_be_no_option_is_no_doubt(text: str) -> None:
    assert not read_text(text).doubts


def test_a_word_is_what_the_shell_makes_of_it() -> None:
    words = parse(r"""gi\t 'a b'"c"d "x\"y" 3 -x a\ b $z *.py 'a'\ b""").commands[0]

    assert [word.text for word in words] == [
        "git", "a bcd", 'x"y', "3", "-x", "a b", "$z", "*.py", "a b",
    ]  # fmt: skip
    assert [word.fixed for word in words] == [True] * 6 + [False] * 3


NEVER_ENDING = ["(" * 5_000, "$(" * 2_000, "a" * 70_000, "sh -c " * 30 + "'ls'", "{" * 9_000]


@pytest.mark.parametrize("text", NEVER_ENDING, ids=range(len(NEVER_ENDING)))
def test_a_text_that_is_too_much_is_a_doubt_and_no_fault(text: str) -> None:
    assert read_text(text).doubts


def nested(depth: int) -> list[str]:
    return ["timeout", "1"] * depth + ["ssh"]


def test_what_lies_too_deep_is_a_doubt() -> None:
    assert read_argv(nested(5)).doubts == []
    assert read_argv(nested(50)).doubts


# What a shell ran, by programs that write their own name down.

RUNS = [
    "ssh a", "ssh a && sudo b; curl c | wget d & git e; wait", "s\\sh a", "s''sh a", '"ss"h a',
    "if ssh; then sudo; else curl; fi", "for i in 1 2; do ssh $i; done", "echo $(ssh a) `sudo b`",
    "f() { ssh a; }; f", "echo \"x $(ssh 'a')\"", "cat <(ssh) <<E\n$(sudo)\nE", "(cd /; ssh a)",
    "timeout 5 nice -n 1 env A=1 nohup ssh a", "echo a | xargs -n1 ssh", "xargs -a /dev/null -r ssh",
    "find / -maxdepth 0 -exec ssh {} ;", "find / -maxdepth 0 -exec ssh {} \\; -exec sudo {} +",
    "eval 'ssh a; sudo b'", "trap 'ssh a' EXIT", "bash -c 'ssh a; sh -c \"sudo b\"'",
    "A=1 B=2 ssh a", ">/dev/null ssh a 2>&1", "while ssh; do break; done", "case x in x) ssh;; esac",
    "[[ a == a ]] && ssh", "[ a = b ] || ssh", "! ssh", "{ ssh; }", "time ssh", "exec ssh a",
    "command ssh a", "x=$(ssh); y=${z:-$(sudo)}", "export A=$(ssh)", "echo ssh; #sudo\ncurl",
    "stdbuf -o0 ssh a", "setsid -w ssh", "a=(1 $(ssh)); echo $((1+1))", "sudo\\\n x", "ss\\\nh a", ">/dev/2>&1l ssh a", "env =1 ssh a", "env -u $ ssh", "\\\nssh",
    "$'ssh' a", "$'\\x73sh' a", "x=ssh; $x a", "ss{h,h} a", 'e=ssh; eval "$e a"', "env -S 'ssh a'",
    "printf ssh | sh", "sh <<< ssh", "coproc ssh", "select x in a; do ssh; done </dev/null", "ssh;",
    "echo 'ssh' \"sudo\" # curl", "echo ${x:=`ssh`}", "env -u A -C / ssh", "until ssh; do :; done",
]  # fmt: skip


@pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed")
@pytest.mark.parametrize("text", RUNS)
def test_nothing_ran_that_was_not_read(text: str, tmp_path: Path) -> None:
    """A reading without doubts names each program that a real bash then started."""
    log, programs = tmp_path / "log", tmp_path / "bin"
    programs.mkdir()
    for name in ("ssh", "sudo", "curl", "wget", "git"):
        (programs / name).write_text(f"#!/bin/sh\necho {name} >> {log}\n")
        (programs / name).chmod(0o755)
    reading = read_text(text)
    with subprocess.Popen(
        ["bash", "-c", text],
        env={"PATH": f"{programs}:{os.environ['PATH']}", "HOME": str(tmp_path)},
        cwd=tmp_path,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        process_group=0,
    ) as shell:
        try:
            shell.communicate(timeout=60)
        finally:  # whatever it left in the background, too
            with suppress(ProcessLookupError):
                os.killpg(shell.pid, signal.SIGKILL)
    ran = set(log.read_text().split()) if log.exists() else set()

    assert reading.doubts or ran <= {each.program for each in reading.commands}
    assert ran or "echo 'ssh'" in text or "wait" in text or reading.commands


def test_policies_get_the_reading(tmp_path: Path) -> None:
    (found,) = parse_targets(CommandArg(), "command", ["timeout", "5", "ssh", "a"], tmp_path)

    assert found == {
        "kind": "command",
        "argument": "command",
        "argv": ["timeout", "5", "ssh", "a"],
        "program": "timeout",
        "shell": False,
        "commands": [
            {"program": "timeout", "argv": ["timeout", "5", "ssh", "a"]},
            {"program": "ssh", "argv": ["ssh", "a"]},
        ],
        "complete": True,
        "shown": [],
        "declared": False,
    }


def test_a_text_of_several_lines_is_a_command_and_other_controls_are_none(
    tmp_path: Path,
) -> None:
    (found,) = parse_targets(CommandArg(), "command", "ls\n\tssh a", tmp_path)
    assert [each["program"] for each in found["commands"]] == ["ls", "ssh"]
    for text in ("ls\rssh", "ls\x1b[2K", "ls\u202e"):
        with pytest.raises(TargetError):
            parse_targets(CommandArg(), "command", text, tmp_path)


SHOWN: dict[str, list[str]] = {
    'echo "$GITHUB_TOKEN"': ["GITHUB_TOKEN"],
    "echo $HOME": ["HOME"],
    "cmd --key=$KEY > $OUT": ["KEY", "OUT"],
    "T=$TOKEN; echo ${T:0:4}": ["T", "TOKEN"],
    "t=$TOKEN; u=$t; echo $u": ["TOKEN"],
    "for w in $TOKEN; do echo $w; done": ["TOKEN"],
    "T=(a $TOKEN); echo ${T[0]}": ["T", "TOKEN"],
    "echo ${UNSET:-$TOKEN}": ["TOKEN", "UNSET"],
    "cat <<< $TOKEN": ["TOKEN"],
    "cat <<EOF\n$TOKEN\nEOF": ["TOKEN"],
    "cat <<'EOF'\n$TOKEN\nEOF": [],
    "sh -c 'echo $TOKEN'": ["TOKEN"],
    "echo $(echo $TOKEN)": ["TOKEN"],
    "echo $((TOKEN))": ["TOKEN"],
    "echo '$TOKEN'": [],
    "echo ${TOKEN:+set} ${TOKEN+set} ${#TOKEN}": [],
    "echo ${TOKEN:+$TOKEN}": ["TOKEN"],
    "[ -n $TOKEN ] && test -z $TOKEN": [],
    "if [[ $TOKEN == x* ]]; then :; fi": [],
    "case $TOKEN in a) ls;; esac": [],
    "[ ! -z $TOKEN ] && [ $TOKEN != x ]": [],
    "[ $TOKEN -eq 1 ]": ["TOKEN"],
    "[[ -n $A && $TOKEN -gt 1 ]]": ["TOKEN"],
    "test $TOKEN -eq 1": ["TOKEN"],
    "(( $TOKEN + 1 ))": ["TOKEN"],
    "unset $TOKEN": ["TOKEN"],
    "set -ex; [ -n $TOKEN ]": ["TOKEN"],
    "set -o xtrace; test $TOKEN": ["TOKEN"],
    "bash -xc 'T=$TOKEN'": ["TOKEN"],
    "TOKEN=$TOKEN make": [],
    "while read -r key; do echo $key; done": [],
    "echo $1 $? $$ $@": [],
}


@pytest.mark.parametrize(("text", "names"), SHOWN.items(), ids=SHOWN)
def test_which_variables_a_text_shows(text: str, names: list[str]) -> None:
    assert read_text(text).document()["shown"] == names


def test_a_declaration_that_lists_is_a_program() -> None:
    found = read_text("export -p; declare -p TOKEN; export A=1; local B").document()

    assert [each["argv"] for each in found["commands"]] == [
        ["export", "-p"],
        ["declare", "-p", "TOKEN"],
    ]
    assert found["complete"] is True
