"""Programs that start other programs, and how their own words end. Data.

From the manual pages of coreutils, util-linux, findutils, sudo, doas and shadow. An option that
is not listed leaves open where the started command begins, which is a doubt and no guess.
Longer than others because it is a table.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal


@dataclass(frozen=True, slots=True)
class Wrapper:
    """How to find the command in the words of a program that starts one.

    `flags` and `values` are short options without and with a value, `long_flags` and
    `long_values` the long ones; `skip` operands stand before the command. `alone` says what
    runs when no command is given. `shell_flags` start a shell; `text` options hold text for one.
    `joins`: the words are joined to a text for a shell. `assigns`: NAME=VALUE may stand first.
    """

    flags: str = ""
    values: str = ""
    long_flags: str = ""
    long_values: str = ""
    skip: int = 0
    alone: Literal["nothing", "shell"] = "nothing"
    shell_flags: str = ""
    text: str = ""
    joins: bool = False
    assigns: bool = False
    idle_flags: str = ""
    """With one of these nothing is started."""


_SUDO: Final = Wrapper(
    flags="ABbEHKknPSV",
    values="CDghpRrTtUu",
    long_flags="askpass background bell preserve-env set-home remove-timestamp reset-timestamp"
    " non-interactive preserve-groups stdin",
    long_values="close-from chdir group host prompt chroot role type command-timeout other-user"
    " user",
    shell_flags="i s login shell",
    alone="shell",
    assigns=True,
)
_LOADER: Final = Wrapper(
    long_flags="verify list inhibit-cache list-tunables list-diagnostics",
    long_values="library-path preload audit argv0 inhibit-rpath glibc-hwcaps-prepend"
    " glibc-hwcaps-mask",
)
_UNSHARE: Final = Wrapper(
    flags="imnpuUCTrcf",
    values="RSGw",
    long_flags="mount uts ipc net pid user cgroup time fork map-root-user map-current-user"
    " map-auto keep-caps mount-proc kill-child forward-signals",
    long_values="root wd setuid setgid propagation setgroups monotonic boottime map-user"
    " map-group map-users map-groups",
    alone="shell",
)

WRAPPERS: Final[dict[str, Wrapper]] = {
    "aa-exec": Wrapper(flags="dvi", values="pn", long_values="profile namespace"),
    "abduco": Wrapper(skip=1),
    "arch": Wrapper(),
    "box64": Wrapper(),
    "box86": Wrapper(),
    "builtin": Wrapper(),
    "catchsegv": Wrapper(),
    "cgexec": Wrapper(values="g", long_flags="sticky"),
    "chpst": Wrapper(flags="vP012", values="/bCdefmnoprtuU"),
    "chroot": Wrapper(
        long_flags="skip-chdir", long_values="groups userspec", skip=1, alone="shell"
    ),
    "chrt": Wrapper(
        flags="abdfioRrv",
        values="DPT",
        long_flags="all-tasks batch deadline fifo idle other reset-on-fork rr verbose",
        long_values="sched-deadline sched-period sched-runtime",
        skip=1,
    ),
    "command": Wrapper(flags="p", idle_flags="Vv"),
    "coproc": Wrapper(),
    "catatonit": Wrapper(flags="gPL"),
    "choom": Wrapper(values="n", long_values="adjust"),
    "chronic": Wrapper(flags="ve"),
    "cross-env": Wrapper(assigns=True),
    "daemonize": Wrapper(flags="av", values="ceEloupl"),
    "dbus-launch": Wrapper(long_flags="exit-with-session", long_values="config-file"),
    "dbus-run-session": Wrapper(long_values="config-file dbus-daemon"),
    "doas": Wrapper(flags="Ln", values="aCu", shell_flags="s", assigns=True, alone="shell"),
    "dtach": Wrapper(skip=1),
    "dumb-init": Wrapper(flags="cv", values="r", long_flags="single-child verbose"),
    "eatmydata": Wrapper(),
    "entr": Wrapper(flags="acdnprxz", text="s"),
    "env": Wrapper(
        flags="i0v",
        values="uCa",
        long_flags="ignore-environment null debug list-signal-handling block-signal"
        " default-signal ignore-signal",
        long_values="unset chdir argv0",
        assigns=True,
    ),
    "envdir": Wrapper(skip=1),
    "envuidgid": Wrapper(skip=1),
    "exec": Wrapper(flags="cl", values="a"),
    "fakechroot": Wrapper(flags="s", values="bcde"),
    "fakeroot": Wrapper(flags="u", values="lsib", long_flags="unknown-is-real"),
    "faketime": Wrapper(flags="fm", skip=1),
    "flock": Wrapper(
        flags="esxnuoFv",
        values="wE",
        long_flags="shared exclusive unlock nonblock close no-fork verbose",
        long_values="timeout wait conflict-exit-code",
        skip=1,
        text="c command",
    ),
    "gosu": Wrapper(skip=1),
    "gpg-agent": Wrapper(flags="qv", long_flags="daemon quiet verbose", long_values="homedir"),
    "heaptrack": Wrapper(),
    "ifne": Wrapper(flags="n"),
    "i386": Wrapper(flags="3BFILRSTXZv"),
    "ionice": Wrapper(
        flags="t", values="cn", long_flags="ignore", long_values="class classdata"
    ),
    "ld.so": _LOADER,
    "keep-one-running": Wrapper(),
    "libtool": Wrapper(long_values="mode tag", long_flags="quiet silent verbose dry-run"),
    "linux32": Wrapper(flags="3BFILRSTXZv"),
    "linux64": Wrapper(flags="3BFILRSTXZv"),
    "ltrace": Wrapper(flags="CfhiLrStTV", values="aAdDeFlnopsuwx"),
    "logsave": Wrapper(flags="asv", skip=1),
    "multitime": Wrapper(flags="ql", values="Iinors"),
    "nice": Wrapper(flags="0123456789", values="n", long_values="adjustment"),
    "nocache": Wrapper(values="n"),
    "nix-shell": Wrapper(
        flags="Q", values="p", long_flags="pure", text="run command", alone="shell"
    ),
    "noglob": Wrapper(),
    "nocorrect": Wrapper(),
    "nohup": Wrapper(),
    "-": Wrapper(),
    "nsenter": Wrapper(
        flags="aFecCimnpTUuZ",
        values="tSGW",
        long_flags="all mount uts ipc net pid cgroup user time no-fork preserve-credentials"
        " follow-context env join-cgroup root wd",
        long_values="target setuid setgid wdns",
        alone="shell",
    ),
    "numactl": Wrapper(
        flags="als",
        values="CNipmP",
        long_flags="all localalloc show",
        long_values="interleave membind cpunodebind physcpubind preferred",
    ),
    "npx": Wrapper(
        flags="yq",
        values="p",
        long_flags="yes no quiet no-install ignore-existing",
        long_values="package",
        text="c call",
    ),
    "bunx": Wrapper(long_flags="bun", values="p", long_values="package"),
    "pkexec": Wrapper(
        long_flags="disable-internal-agent keep-cwd", long_values="user", alone="shell"
    ),
    "proxychains": Wrapper(flags="q", values="f"),
    "proxychains4": Wrapper(flags="q", values="f"),
    "prlimit": Wrapper(
        long_flags="noheadings raw verbose",
        long_values="as core cpu data fsize locks memlock msgqueue nice nofile nproc rss rtprio"
        " rttime sigpending stack",
    ),
    "run0": Wrapper(
        long_flags="no-ask-password",
        long_values="user group unit property description slice nice chdir setenv background",
        values="ugpD",
        alone="shell",
    ),
    "rlwrap": Wrapper(flags="acimnrtX"),
    "run-one": Wrapper(),
    "run-one-constantly": Wrapper(),
    "run-this-one": Wrapper(),
    "runcon": Wrapper(flags="c", skip=1),
    "runuser": Wrapper(
        flags="lmfP",
        values="uGgsw",
        long_flags="login preserve-environment fast pty",
        long_values="user group supp-group shell whitelist-environment",
        text="c command session-command",
        alone="shell",
    ),
    "s6-envdir": Wrapper(skip=1),
    "s6-setuidgid": Wrapper(skip=1),
    "s6-softlimit": Wrapper(),
    "script": Wrapper(
        flags="aefqR",
        values="BEIOTmo",
        long_flags="append return flush force quiet",
        long_values="log-io echo log-in log-out log-timing logging-format output-limit",
        text="c command",
        alone="shell",
        skip=1,
    ),
    "setarch": Wrapper(flags="3BFILRSTXZv", skip=1, alone="shell"),
    "setlock": Wrapper(flags="nNxX", skip=1),
    "setpriv": Wrapper(
        flags="d",
        long_flags="clear-groups keep-groups init-groups no-new-privs nnp dump reset-env",
        long_values="ambient-caps inh-caps bounding-set ruid euid rgid egid reuid regid groups"
        " securebits pdeathsig selinux-label apparmor-profile",
    ),
    "setuidgid": Wrapper(skip=1),
    "softlimit": Wrapper(values="acdflmoprst"),
    "setsid": Wrapper(flags="cfw", long_flags="ctty fork wait"),
    "ssh-agent": Wrapper(flags="cDdks", values="aEOPt"),
    "sshpass": Wrapper(flags="ve", values="fdpP"),
    "stdbuf": Wrapper(values="ioe", long_values="input output error"),
    "strace": Wrapper(
        flags="ACcDdFfhiknqrTttVvwxyYzZ", values="aAbeEIoOPpsSuUX", long_flags="follow-forks"
    ),
    "su": Wrapper(
        flags="flmpP",
        values="gGsw",
        long_flags="fast login preserve-environment pty",
        long_values="group supp-group shell whitelist-environment",
        text="c command session-command",
        alone="shell",
        shell_flags="l login",
        skip=1,
    ),
    "su-exec": Wrapper(skip=1),
    "sudo": _SUDO,
    "sudo-rs": _SUDO,
    "systemd-run": Wrapper(
        flags="tPdqrG",
        values="uprM",
        long_flags="scope user system pty pipe quiet wait collect no-block no-ask-password"
        " same-dir",
        long_values="unit property description slice uid gid nice working-directory setenv"
        " machine host service-type",
        shell_flags="S shell",
    ),
    "systemd-nspawn": Wrapper(
        flags="bqx", values="DiMu", long_values="directory image machine user", alone="shell"
    ),
    "taskset": Wrapper(flags="ac", long_flags="all-tasks cpu-list", skip=1),
    "time": Wrapper(
        flags="apqv",
        values="fo",
        long_flags="append portability quiet verbose",
        long_values="format output",
    ),
    "timeout": Wrapper(
        flags="fpv",
        values="ks",
        long_flags="foreground preserve-status verbose",
        long_values="kill-after signal",
        skip=1,
    ),
    "timelimit": Wrapper(flags="pq", values="tTsS"),
    "tini": Wrapper(flags="gsvw", values="e"),
    "systemd-inhibit": Wrapper(long_flags="list", long_values="what who why mode"),
    "torify": Wrapper(),
    "torsocks": Wrapper(flags="iq", long_flags="isolate quiet"),
    "tsocks": Wrapper(),
    "uftrace": Wrapper(),
    "unbuffer": Wrapper(flags="p"),
    "unshare": _UNSHARE,
    "uvx": Wrapper(
        flags="qv",
        values="p",
        long_flags="quiet verbose isolated offline",
        long_values="from with python index",
    ),
    "valgrind": Wrapper(flags="qv", long_flags="quiet verbose"),
    "wine": Wrapper(),
    "wine64": Wrapper(),
    "watch": Wrapper(
        flags="bcdegprtw",
        values="nqs",
        long_flags="beep color differences errexit chgexit precise no-title no-wrap",
        long_values="interval equexit",
        joins=True,
    ),
    "xargs": Wrapper(
        flags="0eiloprtx",
        values="EILPadns",
        long_flags="null exit interactive no-run-if-empty verbose open-tty eof replace"
        " max-lines show-limits",
        long_values="arg-file delimiter max-args max-chars max-procs process-slot-var",
    ),
    "xvfb-run": Wrapper(flags="al", values="nesfpw", long_flags="auto-servernum"),
}
"""By the name of the program; `reading` knows `find`, `busybox`, `eval` and others by hand."""

RUNNERS: Final[dict[str, str]] = {
    "asdf": "exec",
    "aws-vault": "exec",
    "bundle": "exec",
    "cabal": "exec",
    "chamber": "exec",
    "conda": "run",
    "corepack": "exec",
    "direnv": "exec",
    "doppler": "run",
    "dune": "exec",
    "guix": "shell environment",
    "foreman": "run",
    "hatch": "run",
    "honcho": "run",
    "lerna": "exec",
    "mamba": "run",
    "micromamba": "run",
    "mise": "exec x",
    "nix": "shell develop run",
    "npm": "exec x",
    "nvm": "exec",
    "op": "run",
    "opam": "exec",
    "pdm": "run",
    "perf": "record stat trace mem c2c kvm sched",
    "pipenv": "run",
    "pipx": "run",
    "pyenv": "exec",
    "rbenv": "exec",
    "stack": "exec",
    "teller": "run",
    "volta": "run",
    "pnpm": "exec dlx",
    "rr": "record",
    "poetry": "run",
    "rye": "run",
    "uv": "run",
    "yarn": "exec dlx",
    "zellij": "run",
}
"""Programs with subcommands that start the command after them."""

PROFILED: Final = frozenset({"aws-vault", "chamber", "guix", "nix"})
"""Of these, those with operands of their own before the command, which then follows `--`."""

SHELLS: Final = frozenset({"ash", "bash", "dash", "ksh", "mksh", "rbash", "sh", "yash"})
"""Their `-c` text is of the grammar that `text` reads."""
OTHER_SHELLS: Final = frozenset(
    {"cmd", "csh", "elvish", "fish", "nu", "powershell", "pwsh", "tcsh", "xonsh", "zsh"}
)
"""Their text is of another grammar."""
MULTI_CALL: Final = frozenset({"busybox", "toybox"})

INLINE_CODE: Final[dict[str, str]] = {
    "bpython": "c",
    "bun": "e",
    "deno": "eval",
    "elixir": "e eval rpc-eval",
    "crystal": "eval",
    "emacs": "eval f l",
    "erl": "eval run s",
    "ex": "c cmd S",
    "expect": "c",
    "gdb": "args ex eval-command x command",
    "groovy": "e",
    "ghc": "e",
    "gnuplot": "e",
    "guile": "c",
    "iex": "e eval rpc-eval",
    "ipython": "c",
    "jshell": "",
    "julia": "e E eval print",
    "kotlin": "e",
    "latexmk": "e r usepretex",
    "matlab": "r batch",
    "mix": "e eval",
    "ocaml": "e",
    "octave": "eval",
    "racket": "e eval",
    "sage": "c",
    "sbcl": "eval load",
    "scala": "e",
    "tclsh": "",
    "wish": "",
    "lua": "e",
    "luajit": "e",
    "node": "e p eval print r require import",
    "nodejs": "e p eval print r require import",
    "osascript": "e",
    "perl": "e E M m",
    "php": "r B E R",
    "pypy": "c",
    "python": "c",
    "r": "e",
    "rscript": "e",
    "ruby": "e r",
    "vi": "c cmd S",
    "view": "c cmd S",
    "vim": "c cmd S",
    "nvim": "c cmd S",
}
"""Interpreters, and their options that hold program text of a language nobody reads here."""

STARTING_OPTIONS: Final[dict[str, str]] = {
    "ag": "pager",
    "ansible": "m a module-name args",
    "apt": "o option",
    "apt-get": "o option",
    "aria2c": "on-bt-download-complete on-download-complete on-download-error"
    " on-download-pause on-download-start on-download-stop",
    "bat": "pager",
    "borg": "rsh",
    "c++": "wrapper fplugin specs",
    "cc": "wrapper fplugin specs",
    "clang": "fplugin load",
    "cpio": "rsh-command",
    "delta": "pager",
    "fd": "x X exec exec-batch",
    "fdfind": "x X exec exec-batch",
    "fzf": "preview bind",
    "g++": "wrapper fplugin specs",
    "gcc": "wrapper fplugin specs",
    "git": "config-env exec-path upload-pack receive-pack exec extcmd open-files-in-pager",
    "go": "exec toolexec vettool",
    "groff": "U",
    "hg": "config ssh remotecmd",
    "install": "strip-program",
    "ld": "plugin",
    "latex": "shell-escape enable-write18",
    "lualatex": "shell-escape enable-write18",
    "make": "eval",
    "gmake": "eval",
    "man": "P H pager html",
    "nmap": "script",
    "openssl": "engine provider config",
    "pandoc": "F filter L lua-filter pdf-engine",
    "patch": "e ed",
    "pdflatex": "shell-escape enable-write18",
    "pic": "U",
    "rclone": "password-command",
    "restic": "password-command",
    "rg": "pre hostname-bin",
    "rpm": "E eval D define pipe",
    "rsync": "e rsh rsync-path",
    "sk": "preview bind",
    "sort": "compress-program",
    "split": "filter",
    "sqlite3": "cmd init",
    "ssh-add": "s",
    "start-stop-daemon": "a x exec startas",
    "ssh-keygen": "D",
    "svn": "editor-cmd config-option diff-cmd diff3-cmd",
    "tar": "I F checkpoint-action to-command use-compress-program rsh-command rmt-command"
    " info-script new-volume-script",
    "tcpdump": "z",
    "tshark": "X",
    "unison": "sshcmd rshcmd",
    "bsdtar": "use-compress-program",
    "wget": "use-askpass e execute",
    "xelatex": "shell-escape enable-write18",
    "youtube-dl": "exec external-downloader",
    "yt-dlp": "exec exec-before-download downloader external-downloader",
    "zip": "TT unzip-command",
}
"""Options by which an ordinary program starts one that an argument names."""

STARTING_WORDS: Final[dict[str, frozenset[str]]] = {
    "git": frozenset({"foreach", "bisect", "filter-branch", "difftool", "mergetool"}),
    "ip": frozenset({"exec"}),
    "openssl": frozenset({"engine"}),
}

DOUBTFUL_BUILTINS: Final = frozenset(
    {
        ".", "alias", "autoload", "bind", "compgen", "complete", "ed", "emulate", "enable", "fc",
        "byobu", "concurrently", "dotenv", "hash", "hyperfine", "mapfile", "parallel",
        "readarray", "run-parts", "screen", "source", "sysopen", "syswrite", "tmux", "watchexec",
        "zargs", "zellij", "zmodload", "zpty",
    }
)  # fmt: skip
"""What they run is named by something outside of their words."""

STEERING_VARIABLES: Final = frozenset(
    {
        "BASH_ENV", "BROWSER", "DOTNET_STARTUP_HOOKS", "EDITOR", "ENV", "GCONV_PATH",
        "GNUMAKEFLAGS", "GOFLAGS", "IFS", "JAVA_TOOL_OPTIONS", "JDK_JAVA_OPTIONS", "LD_AUDIT",
        "LD_LIBRARY_PATH", "LD_PRELOAD", "LESSCLOSE", "LESSOPEN", "MAKEFLAGS", "MANPAGER",
        "NODE_OPTIONS", "PAGER", "PATH", "PERL5LIB", "PERL5OPT", "PROMPT_COMMAND", "PS4",
        "PYTEST_ADDOPTS", "PYTEST_PLUGINS", "PYTHONHOME", "PYTHONPATH", "PYTHONSTARTUP",
        "RUBYLIB", "RUBYOPT", "RUSTC", "RUSTC_WORKSPACE_WRAPPER", "RUSTC_WRAPPER", "SHELL",
        "SHELLOPTS", "SUDO_ASKPASS", "TAR_OPTIONS", "VISUAL", "ZDOTDIR", "_JAVA_OPTIONS",
    }
)  # fmt: skip
"""Variables that decide what a program starts or loads; `GIT_...` and `BASH_FUNC_...` as well."""
