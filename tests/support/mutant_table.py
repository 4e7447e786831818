"""What each mutant takes away, and the rows of the abuse suite that must be open then.

Where a row is held by more than one protection, all of them are taken away at once: the edits
of one mutant. Texts are exact, so a change of the code that they name is a failing test.
"""

from __future__ import annotations

from mutants import FOLDER, NETWORK, Edit, Mutant, everywhere

DOCKER = "backends/docker/options.py"
OCI = "backends/oci/configuration.py"
BWRAP = "backends/bubblewrap/arguments.py"
LAUNCHER = "backends/launcher.py"
RUNNER, JOB, OUTPUT = "guest/runner.py", "guest/job.py", "guest/output.py"
BOOTSTRAP = "supervisor/bootstrap.py"
TRANSCRIPT = "supervisor/transcript.py"

UNSHARED = 'argv = [bwrap, "--unshare-all", "--unshare-user", "--disable-userns"]'
ROOT_INSIDE = {
    "docker": (
        Edit("backends/docker/backend.py", "        return own_user()\n", "        return 0\n"),
    ),
    "oci": (
        Edit(
            OCI,
            '{"containerID": USER, "hostID": user, "size": 1}',
            '{"containerID": USER, "hostID": 0, "size": 1}',
        ),
    ),
    "bubblewrap": (
        Edit(
            "backends/bubblewrap/backend.py",
            "user = own_user() if os.geteuid() == 0 else None",
            "user = None",
        ),
    ),
}
"""The job is the host's root."""


def _bubblewrap_sharing(kind: str) -> Edit:
    """Bubblewrap that shares one kind of namespace with the host."""
    kinds = ("user", "pid", "ipc", "uts", "net", "cgroup")
    unshared = ", ".join(f'"--unshare-{each}"' for each in kinds if each != kind)
    return Edit(BWRAP, UNSHARED, f"argv = [bwrap, {unshared}]")


def _oci_sharing(kind: str) -> Edit:
    kinds = ("pid", "network", "ipc", "uts", "mount", "cgroup")
    return Edit(
        OCI,
        f"NAMESPACES = {kinds!r}".replace("'", '"'),
        f"NAMESPACES = {kinds!r}[:]".replace(f"'{kind}', ", ""),
    )


def _bind(source: str, target: str, access: str) -> dict[str, tuple[Edit, ...]]:
    """Something of the host shown inside."""
    option = "--ro-bind" if access == "ro" else "--dev-bind"
    mount = f'{{"Type": "bind", "Source": "{source}", "Target": "{target}", "ReadOnly": {access == "ro"}}}'
    asked = f'{{"destination": "{target}", "type": "bind", "source": "{source}", "options": ["bind", "{access}"]}}'
    shown = '        *(_bind(source, target, "ro") for source, target in shown),\n'
    closed = '    argv += ["--remount-ro", "/dev"]\n'
    # What is there stays there, so that two of these can be applied.
    return {
        "docker": (Edit(DOCKER, '"Mounts": [\n', f'"Mounts": [\n            {mount},\n'),),
        "oci": (Edit(OCI, shown, f"{shown}        {asked},\n"),),
        "bubblewrap": (
            Edit(BWRAP, closed, f'    argv += ["{option}", "{source}", "{target}"]\n{closed}'),
        ),
    }


_IMMORTAL = (
    Edit(
        RUNNER,
        "                os._exit(0)  # closed, or speaking out of turn: in both cases this run is over\n",
        "                poll.unregister(number)\n                continue\n",
    ),
    Edit(
        RUNNER,
        "    if left <= 0 or not (seen := poll.poll(left * 1000)):\n        os._exit(0)\n    return seen\n",
        "    return poll.poll(min(left, 30) * 1000)\n",
    ),
    Edit(RUNNER, "        os.kill(-1, signal.SIGKILL)\n", "        pass\n"),
    Edit(
        RUNNER,
        "        while True:\n            os.waitpid(-1, 0)\n",
        "        while False:\n            os.waitpid(-1, 0)\n",
    ),
    Edit(
        RUNNER,
        "        while data := os.read(near, CHUNK):\n",
        "        while select.select([near], [], [], 0)[0] and (data := os.read(near, CHUNK)):\n",
    ),
    Edit(
        RUNNER,
        '    say(channel_out, b"z", report(setup, ended))\n    os._exit(0)\n',
        '    say(channel_out, b"z", report(setup, ended))\n    time.sleep(20)\n    os._exit(0)\n',
    ),
)
_NOT_ENDED = (
    Edit(
        LAUNCHER,
        "    if leaves and await _is_over(launched.ended):\n        return\n",
        "    return\n",
    ),
    Edit(
        LAUNCHER,
        "    if process.poll() is None:\n        _kill_group(process)\n",
        "    if process.poll() is None:\n        return\n        _kill_group(process)\n",
    ),
)

_OTHERS_LOOK_AWAY = Edit(
    "lease.py", "            namespace=_namespace(),\n", '            namespace="1",\n'
)
"""Whoever opens a backend ends what a dead owner left; so does every test beside this one."""

MUTANTS = (
    # Limits
    Mutant(
        "processes",
        {
            "docker": (
                Edit(DOCKER, '"PidsLimit": _processes(profile, runtime)', '"PidsLimit": 0'),
            ),
            **dict.fromkeys(
                ("oci", "bubblewrap"),
                (
                    Edit(
                        "isolation/cgroup.py",
                        '[("pids.max", str(processes))]',
                        '[("pids.max", "max")]',
                    ),
                ),
            ),
        },
        (1,),
        "limits",
    ),
    Mutant(
        "memory",
        {
            "docker": (
                Edit(DOCKER, '"Memory": profile.memory_bytes,', '"Memory": 0,'),
                Edit(DOCKER, '"MemorySwap": profile.memory_bytes,', '"MemorySwap": 0,'),
            ),
            **dict.fromkeys(
                ("oci", "bubblewrap"),
                (
                    Edit(
                        "isolation/cgroup.py",
                        "most = str(profile.memory_bytes)",
                        "most = str(2**40)",
                    ),
                    Edit(
                        "isolation/cgroup.py",
                        '("memory.max", str(profile.memory_bytes))',
                        '("memory.max", "max")',
                    ),
                ),
            ),
        },
        (2, 3),
        "limits",
    ),
    Mutant(
        "processor share",
        {
            "docker": (Edit(DOCKER, "int(profile.cpus * CPU_PERIOD_MICROSECONDS)", "0"),),
            **dict.fromkeys(
                ("oci", "bubblewrap"),
                (
                    Edit(
                        "isolation/cgroup.py",
                        "quota = int(profile.cpus * PERIOD_MICROSECONDS)",
                        "quota = 100 * PERIOD_MICROSECONDS",
                    ),
                ),
            ),
        },
        (4,),
        "limits",
    ),
    Mutant(
        "number of files",
        {
            "docker": (Edit(DOCKER, ",nr_inodes={files}", ""),),
            "oci": (Edit(OCI, 'f"nr_inodes={files}", ', ""),),
        },
        (5,),
        "limits",
    ),
    Mutant(
        "bytes out",
        everywhere(
            Edit(OUTPUT, "facts.st_size > self.room", "False"),
            Edit(
                TRANSCRIPT,
                "if self._files_bytes > self._profile.files_out_bytes:",
                "if False:",
            ),
        ),
        (6, 12),
        "runner",
    ),
    Mutant(
        "descriptors",
        everywhere(Edit(BOOTSTRAP, '"nofile": profile.open_files', '"nofile": 8192')),
        (7, 63),
        "runner",
    ),
    Mutant(
        "output",
        everywhere(
            Edit(
                TRANSCRIPT,
                "        self.overflowed = self.overflowed or len(payload) > room\n",
                "",
            )
        ),
        (8,),
        "supervisor",
    ),
    Mutant(
        "log driver",
        {
            "docker": (
                Edit(
                    DOCKER, '"LogConfig": {"Type": "none"', '"LogConfig": {"Type": "json-file"'
                ),
            )
        },
        (9,),
        "limits",
    ),
    Mutant(
        "names",
        everywhere(
            Edit(
                OUTPUT,
                "return size <= 512 and not any(ord(letter) < 32 or ord(letter) == 127 for letter in path)",
                "return True",
            ),
            Edit(TRANSCRIPT, "            checked_path(path)\n", "            pass\n"),
        ),
        (10, 26, 28),
        "runner",
    ),
    Mutant(
        "size of argv",
        everywhere(Edit("job.py", "MAX_ARGV_BYTES = 65536", "MAX_ARGV_BYTES = 10**9")),
        (11,),
        "supervisor",
    ),
    # Lifetime
    Mutant(
        "end of a run",
        {
            "docker": (
                _OTHERS_LOOK_AWAY,
                *_IMMORTAL,
                Edit(
                    "backends/docker/engine.py",
                    'self.client.kill(name, signal="SIGKILL")',
                    "pass",
                ),
                Edit(
                    "backends/docker/engine.py",
                    "                self.client.remove_container(name, v=True, force=True)\n            except errors.APIError as err:\n",
                    "                pass\n            except errors.APIError as err:\n",
                ),
            ),
            "oci": (
                _OTHERS_LOOK_AWAY,
                *_IMMORTAL,
                *_NOT_ENDED,
                Edit(
                    "backends/oci/containers.py",
                    "    for runtime in runtimes.values():\n        path = _state(runtime)",
                    "    return\n    for runtime in runtimes.values():\n        path = _state(runtime)",
                ),
            ),
            "bubblewrap": (
                _OTHERS_LOOK_AWAY,
                *_IMMORTAL,
                *_NOT_ENDED,
                Edit(BWRAP, '["--die-with-parent", "--new-session", ', '["--new-session", '),
            ),
        },
        (13, 14, 15, 16, 18),
        "end",
    ),
    Mutant(
        "reaping",
        everywhere(
            Edit(RUNNER, "os.wait4(-1, os.WNOHANG)", "os.wait4(FIRST, os.WNOHANG)"),
            Edit(RUNNER, "self.pid = os.fork()", 'self.pid = globals()["FIRST"] = os.fork()'),
        ),
        (17,),
        "job",
    ),
    Mutant("files of its own", _bind(FOLDER, "/var/tmp", "rw"), (19,), "state"),
    Mutant(
        "interprocess communication",
        {
            "docker": (Edit(DOCKER, '"IpcMode": "none"', '"IpcMode": "host"'),),
            "oci": (_oci_sharing("ipc"),),
            "bubblewrap": (_bubblewrap_sharing("ipc"),),
        },
        (20,),
        "state",
    ),
    Mutant(
        "core dumps",
        {
            "docker": (Edit(BOOTSTRAP, '"core": 0', '"core": 4096'),),
            "oci": (
                Edit(BOOTSTRAP, '"core": 0', '"core": 4096'),
                Edit(
                    OCI,
                    '{"type": "RLIMIT_CORE", "soft": 0, "hard": 0}',
                    '{"type": "RLIMIT_CORE", "soft": 4096, "hard": 4096}',
                ),
            ),
            "bubblewrap": (Edit(BOOTSTRAP, '"core": 0', '"core": 4096'),),
        },
        (21,),
        "runner",
    ),
    Mutant(
        "form of an answer",
        everywhere(
            Edit(
                "supervisor/verdict.py",
                "if returns_value and not rest:",
                "if returns_value:",
            )
        ),
        (22,),
        "supervisor",
    ),
    # Files
    Mutant(
        "links are not followed",
        everywhere(
            Edit(
                OUTPUT,
                "kind = os.stat(name, dir_fd=number, follow_symlinks=False).st_mode",
                "kind = os.stat(name, dir_fd=number, follow_symlinks=os.access(name, os.F_OK, dir_fd=number)).st_mode",
            ),
            Edit(OUTPUT, " | os.O_NOFOLLOW | os.O_NONBLOCK", " | os.O_NONBLOCK"),
        ),
        (23,),
        "runner",
    ),
    Mutant(
        "the out folder is no link",
        everywhere(
            Edit(
                OUTPUT,
                "os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW, dir_fd=folder",
                "os.O_RDONLY | os.O_NONBLOCK, dir_fd=folder",
            )
        ),
        (24,),
        "job",
    ),
    Mutant("one name", everywhere(Edit(OUTPUT, "facts.st_nlink != 1", "False")), (25,), "job"),
    Mutant(
        "regular files only",
        everywhere(Edit(OUTPUT, "elif stat.S_ISREG(kind):", "elif True:")),
        (27,),
        "job",
    ),
    Mutant(
        "read-only root",
        {
            "docker": (Edit(DOCKER, '"ReadonlyRootfs": True', '"ReadonlyRootfs": False'),),
            "oci": (Edit(OCI, '"mode=755", "size=65536"', '"mode=777", "size=65536"'),),
            "bubblewrap": (
                Edit(
                    BWRAP,
                    'argv += ["--remount-ro", "/", "--chdir", "/"]',
                    'argv += ["--chdir", "/"]',
                ),
            ),
        },
        (29,),
        "view",
    ),
    Mutant(
        "read-only mounts",
        {
            "docker": (Edit(DOCKER, '"ReadOnly": True,\n', '"ReadOnly": False,\n'),),
            "oci": (
                Edit(
                    OCI,
                    '*(_bind(source, target, "ro") for',
                    '*(_bind(source, target, "rw") for',
                ),
            ),
            "bubblewrap": (
                Edit(
                    BWRAP,
                    'argv += ["--ro-bind", str(entry.source), entry.target]',
                    'argv += ["--bind", str(entry.source), entry.target]',
                ),
            ),
        },
        (30,),
        "privileges",
    ),
    Mutant("the host's files", _bind("/var/tmp", "/var/tmp", "ro"), (31, 49, 55), "host"),
    Mutant(
        "check of mounts",
        everywhere(Edit("isolation/mounts.py", "    if forbidden:\n", "    if False:\n")),
        (32,),
        "supervisor",
    ),
    Mutant(
        "whole files",
        everywhere(
            Edit(
                RUNNER,
                'target.writelines(take_bytes(channel, b"F", size))',
                'target.writelines(data[:-1] for data in take_bytes(channel, b"F", size))',
            )
        ),
        (33,),
        "job",
    ),
    Mutant(
        "files are read once",
        everywhere(
            Edit(
                "protocol.py",
                "        encoded = encode_job(job, profile, files=files or {}, conversation=conversation)\n",
                "",
            ),
            Edit(
                "protocol.py",
                "return await started.run(encoded)",
                "return await started.run(encode_job(job, profile, files=files or {}))",
            ),
        ),
        (34,),
        "supervisor",
    ),
    # Privileges and the kernel
    Mutant(
        "no new privileges",
        {
            "docker": (Edit(DOCKER, '"no-new-privileges:true",', ""),),
            "oci": (Edit(OCI, '"noNewPrivileges": True', '"noNewPrivileges": False'),),
        },
        (35,),
        "privileges",
    ),
    Mutant(
        "system call filter",
        {
            "docker": (
                Edit(
                    DOCKER,
                    '"seccomp=" + json.dumps(docker_profile(), separators=(",", ":"))',
                    '"seccomp=unconfined"',
                ),
            ),
            "oci": (Edit(OCI, '"seccomp": oci_profile(),', ""),),
            "bubblewrap": (
                Edit(
                    BWRAP,
                    '["--seccomp", str(descriptors.seccomp), "--info-fd"',
                    '["--info-fd"',
                ),
            ),
        },
        (35, 37, 38, 40, 41, 42, 43, 47),
        "filter",
    ),
    Mutant(
        "a user of its own, and settings that are read-only",
        {
            "docker": (*ROOT_INSIDE["docker"], Edit(DOCKER, "list(procfs.READ_ONLY)", "[]")),
            "oci": (*ROOT_INSIDE["oci"], Edit(OCI, "list(procfs.READ_ONLY)", "[]")),
            "bubblewrap": (
                *ROOT_INSIDE["bubblewrap"],
                Edit(
                    BWRAP,
                    '"--proc", "/proc", "--ro-bind", "/proc/sys", "/proc/sys"',
                    '"--proc", "/proc"',
                ),
            ),
        },
        (36, 44),
        "user",
    ),
    Mutant(
        "a user of its own, and masked facts",
        {
            "docker": (*ROOT_INSIDE["docker"], Edit(DOCKER, "list(MASKED_PATHS)", "[]")),
            "oci": (*ROOT_INSIDE["oci"], Edit(OCI, "list(procfs.MASKED)", "[]")),
            "bubblewrap": (
                *ROOT_INSIDE["bubblewrap"],
                Edit(BWRAP, "    for path in masked:\n", "    for path in ():\n"),
            ),
        },
        (45,),
        "facts",
    ),
    Mutant("a bare /dev", _bind("/dev/null", "/dev/odd", "rw"), (39,), "view"),
    Mutant(
        "hard limits",
        everywhere(
            Edit(
                JOB,
                '(most, most + 1 if name == "cpu" else most)',
                "(most, ceiling)",
            )
        ),
        (46,),
        "job",
    ),
    Mutant(
        "closed descriptors",
        everywhere(
            Edit(
                JOB,
                "    os.closerange(len(ends), 65536)\n",
                "    os.closerange(len(ends), 65536)\n"
                "    os.set_inheritable(os.open('/', os.O_RDONLY), True)\n",
            )
        ),
        (48,),
        "job",
    ),
    Mutant(
        "no terminal",
        {
            "docker": (
                *_bind("/dev/pts", "/dev/pts", "rw")["docker"],
                Edit(DOCKER, '"/dev/mqueue", "/dev/pts"),', '"/dev/mqueue"),'),
            ),
            "oci": _bind("/dev/pts", "/dev/pts", "rw")["oci"],
            "bubblewrap": (
                Edit(BWRAP, '"--die-with-parent", "--new-session", ', '"--die-with-parent", '),
                Edit(JOB, "    os.setsid()\n    for", "    for"),
            ),
        },
        (50,),
        "terminal",
    ),
    Mutant(
        "check of variables",
        everywhere(Edit("profile.py", "if _LOADER.fullmatch(name):", "if False:")),
        (51,),
        "supervisor",
    ),
    # Egress
    Mutant(
        "a network of its own",
        {
            "docker": (
                Edit(DOCKER, '"NetworkMode": "none"', f'"NetworkMode": "{NETWORK}"'),
                Edit(DOCKER, '"NetworkDisabled": True', '"NetworkDisabled": False'),
            ),
            "oci": (_oci_sharing("network"),),
            "bubblewrap": (_bubblewrap_sharing("net"),),
        },
        (52, 53, 54, 58, 60, 61),
        "network",
    ),
    Mutant(
        "the whole name",
        everywhere(
            Edit(
                "network/decision.py",
                "if rule.host != request.host or not _port",
                "if not request.host.endswith(rule.host) or not _port",
            )
        ),
        (56,),
        "egress",
    ),
    Mutant(
        "the check of an address",
        everywhere(
            Edit(
                "egress/dial.py",
                "permitted = [address for address in found if refusal(address) is None]",
                "permitted = list(found)",
            )
        ),
        (57,),
        "egress",
    ),
    Mutant(
        "the checked address is dialled",
        everywhere(
            Edit(
                "egress/dial.py",
                "await _connect(str(address), port)",
                "await _connect(host, port)",
            )
        ),
        (57,),
        "egress 2",
    ),
    Mutant(
        "the name in TLS",
        everywhere(
            Edit("egress/conversation.py", "if name != request.asked.host:", "if False:")
        ),
        (59,),
        "egress",
    ),
    Mutant(
        "the Host header",
        everywhere(
            Edit(
                "egress/requests.py",
                '    if named != authority:\n        raise RequestError("the Host header is not the authority")\n    asked',
                "    asked",
            ),
            Edit(
                "egress/requests.py",
                "        authority.host,\n        authority.port,\n        request.method",
                "        named.host,\n        named.port,\n        request.method",
            ),
        ),
        (59,),
        "egress 2",
    ),
    Mutant(
        "the proxy's own limits",
        everywhere(
            Edit(
                "egress/process.py",
                '    confine(descriptors=2 * settings["concurrent"] + 64)\n',
                "",
            )
        ),
        (62,),
        "egress",
    ),
    Mutant(
        "closing from outside",
        everywhere(
            Edit(
                "egress/server.py",
                "            self._why.setdefault(number, why)\n            scope.cancel()\n",
                "            self._why.setdefault(number, why)\n",
            )
        ),
        (64,),
        "egress",
    ),
    Mutant(
        "the path",
        everywhere(
            Edit(
                "network/decision.py",
                '    if not plain_path(path):\n        return False\n    return path == prefix or path.startswith(prefix.rstrip("/") + "/")\n',
                "    return path.startswith(prefix)\n",
            )
        ),
        (65,),
        "egress",
    ),
    Mutant(
        "TLS before a secret",
        everywhere(
            Edit(
                "egress/proxy.py",
                'instruction["tls"] = rule.mode == "https"',
                'instruction["tls"] = False',
            )
        ),
        (67,),
        "egress",
    ),
    Mutant(
        "the mask of base64",
        everywhere(
            Edit(
                "egress/scrub.py",
                '        forms |= {sure, sure.translate(bytes.maketrans(b"+/", b"-_"))}\n',
                "",
            )
        ),
        (68,),
        "egress",
    ),
    Mutant(
        "the mask over line breaks",
        everywhere(
            Edit(
                "egress/scrub.py",
                "            self._mark_broken(lower, masked)\n",
                "            pass\n",
            )
        ),
        (68,),
        "egress 2",
    ),
    # Secrets, copies, names
    Mutant(
        "an environment of its own",
        {
            "docker": (
                Edit(
                    DOCKER,
                    "for name, value in ENVIRONMENT.items()]",
                    'for name, value in {**__import__("os").environ, **ENVIRONMENT}.items()]',
                ),
            ),
            "oci": (
                Edit(
                    OCI,
                    "for key, value in ENVIRONMENT.items()]",
                    'for key, value in {**__import__("os").environ, **ENVIRONMENT}.items()]',
                ),
            ),
            "bubblewrap": (
                Edit(BWRAP, '    argv += ["--clearenv"]\n', ""),
                Edit(
                    "backends/bubblewrap/launch.py",
                    "environment={reaper.LEASE_VARIABLE: str(lease)}",
                    "environment={**os.environ, reaper.LEASE_VARIABLE: str(lease)}",
                ),
            ),
        },
        (49, 66),
        "privileges",
    ),
    Mutant(
        "a seed of its own",
        everywhere(
            Edit(
                BOOTSTRAP,
                'ENVIRONMENT = {"PATH"',
                'ENVIRONMENT = {"PYTHONHASHSEED": "1", "PATH"',
            ),
            Edit(
                BOOTSTRAP,
                'return ("-I", "-S", "-B", "-c", _START)',
                'return ("-S", "-B", "-c", _START)',
            ),
        ),
        (69,),
        "job",
    ),
    Mutant(
        "images by digest",
        {
            backend: (
                Edit(
                    "profile.py",
                    "if self.image is not None and not _IMAGE.fullmatch(self.image):",
                    "if False:",
                ),
            )
            for backend in ("oci", "docker")
        },
        (70,),
        "supervisor",
    ),
    Mutant("no token", _bind(FOLDER, "/run", "ro"), (71,), "view"),
    Mutant(
        "the owner of a lease",
        # Of this process only: others on this machine have sandboxes, too.
        everywhere(
            Edit(
                "lease.py",
                "            if self.boot != _boot():\n",
                "            if self.boot != _boot() or self.pid == os.getpid():\n",
            )
        ),
        (72,),
        "lease",
    ),
    Mutant(
        "refusal of what is not there",
        {
            "docker": (
                Edit(
                    "backends/docker/backend.py",
                    "if profile.runtime and not (isinstance(runtimes, list) and profile.runtime in runtimes):",
                    "if False:",
                ),
                Edit(DOCKER, 'config["Runtime"] = profile.runtime', "pass"),
            ),
            "oci": (
                Edit(
                    "backends/oci/backend.py",
                    "if profile.runtime is None and opened.default is not None:",
                    "if opened.default is not None:",
                ),
            ),
            "bubblewrap": (
                Edit(
                    "backends/bubblewrap/backend.py",
                    "if profile.image is not None or profile.runtime is not None:",
                    "if False:",
                ),
            ),
        },
        (73,),
        "privileges",
    ),
    Mutant(
        "the runtime that was asked for",
        {"docker": (Edit(DOCKER, 'config["Runtime"] = profile.runtime', "pass"),)},
        (73,),
        "user",
    ),
    Mutant(
        "the engine that was named",
        {
            "docker": (
                Edit(
                    "backends/docker/engine.py",
                    'url = os.environ.get("DOCKER_HOST") or DEFAULT_SOCKET',
                    "url = DEFAULT_SOCKET",
                ),
            )
        },
        (74,),
        "supervisor",
    ),
    Mutant(
        "a user namespace",
        {
            "oci": (Edit(OCI, "if runtime != KERNEL_RUNTIME:", "if False:"),),
            "bubblewrap": (
                *ROOT_INSIDE["bubblewrap"],
                _bubblewrap_sharing("user"),
                Edit(
                    BWRAP,
                    'argv += ["--uid", str(USER), "--gid", str(USER), "--hostname", "sandbox"]',
                    'argv += ["--hostname", "sandbox"]',
                ),
            ),
        },
        (75,),
        "namespace",
    ),
)

_IMPATIENT = Edit("probes/fixtures.py", "SEEN_SECONDS = 10.0", "SEEN_SECONDS = 0.5")

NOTHING_RUNS = (
    _IMPATIENT,
    Edit(
        JOB, '    value = function(**job["arguments"])\n', '    raise RuntimeError("broken")\n'
    ),
    Edit(JOB, '            os.execvp(job["argv"][0], job["argv"])', "            os._exit(0)"),
)
"""Every attempt in Python raises, and every command ends before it begins."""

NOBODY_SEES = (
    _IMPATIENT,
    Edit(
        "probes/fixtures.py",
        '    found = []\n    for path in Path("/proc").glob("[0-9]*/cmdline"):',
        '    return []\n    for path in Path("/proc").glob("[0-9]*/cmdline"):',
    ),
)
"""The processes of a job are hidden from whoever looks for them, as under `hidepid`."""

NOTHING_STARTS = (
    Edit(
        "protocol.py",
        "        started = await self.start_in_time(request",
        "        from sandbox.errors import SandboxUnavailableError\n"
        "        raise SandboxUnavailableError('no', 'none')\n"
        "        started = await self.start_in_time(request",
    ),
)
"""No sandbox starts, with an error that has a remedy."""
