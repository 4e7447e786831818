"""The few calls made to a Docker engine: blocking, bounded, with this package's errors only.

The only importer of the `docker` SDK besides `image`. Every request ends within the client's timeout.
`launch` attaches before it starts, so that no byte of the runner is lost.
"""

from __future__ import annotations

import os
import secrets
import socket
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from signal import SIGKILL
from typing import TYPE_CHECKING, Any, Literal

import docker
import requests
from docker import errors

from sandbox.backends.docker.options import LEASE_LABEL
from sandbox.errors import ProfileError, SandboxProviderError, SandboxUnavailableError
from sandbox.lease import Lease

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

DEFAULT_SOCKET = "unix:///var/run/docker.sock"
REQUEST_SECONDS = 30
LOOK_SECONDS = 1200
"""For all of an image to be read."""
_KILLED = 128 + SIGKILL
"""The exit code of a container whose first process got that signal."""
REMEDY = "start Docker Engine 20.10 or later, or let this user reach its socket"


@dataclass(frozen=True, slots=True)
class Leftover:
    """A container of ours that the engine still knows."""

    id: str
    lease: str
    state: str
    is_abandoned: bool


@dataclass(frozen=True, slots=True)
class Look:
    """The files of an image."""

    client: docker.APIClient
    container: str

    def archive(self, path: str, *, most: int) -> bytes | None:
        """A file or folder as a tar archive; None when there is no such path.

        Raises:
            SandboxProviderError: the engine failed, or it is larger than `most`.
        """
        with _provider("read an image"):
            try:
                pieces, _ = self.client.get_archive(self.container, path)
            except errors.NotFound:
                return None
            data = bytearray()
            for piece in pieces:
                data += piece
                if len(data) > most:
                    raise SandboxProviderError(
                        f"{path!r:.120} of the image is over {most} bytes"
                    )
        return bytes(data)

    def export(self) -> Iterator[bytes]:
        """All of them, as a tar archive in pieces.

        Raises:
            SandboxProviderError: the engine failed.
        """
        with _provider("read an image"):
            yield from self.client.export(self.container)


class Engine:
    """A connection to the engine on this machine."""

    def __init__(self, client: docker.APIClient) -> None:
        self.client = client

    @classmethod
    def connect(cls) -> Engine:
        """Connects through `DOCKER_HOST`, or the usual socket.

        Raises:
            SandboxUnavailableError: no engine answers, or it is not on this machine.
        """
        if sys.platform != "linux":
            raise SandboxUnavailableError("sandboxes need Linux", "run the broker on Linux")
        url = os.environ.get("DOCKER_HOST") or DEFAULT_SOCKET
        if not url.startswith("unix://"):
            raise SandboxUnavailableError(
                "DOCKER_HOST names an engine on another machine",
                "code is mounted from this machine's disk; use a local engine's unix socket",
            )
        try:
            # First without the SDK, which leaves its socket open when nobody answers.
            with socket.socket(socket.AF_UNIX) as knock:
                knock.settimeout(REQUEST_SECONDS)
                knock.connect(url.removeprefix("unix://"))
            client = docker.APIClient(base_url=url, version="auto", timeout=REQUEST_SECONDS)
        except (errors.DockerException, requests.RequestException, OSError) as err:
            raise SandboxUnavailableError("no Docker engine answers", REMEDY) from err
        return cls(client)

    def facts(self) -> dict[str, object]:
        """What the engine says of itself, as plain JSON."""
        with _provider("describe itself"):
            info: dict[str, Any] = self.client.info()
        security = info.get("SecurityOptions") or []
        return {
            "engine": info.get("ServerVersion"),
            "runtimes": sorted(info.get("Runtimes") or ()),
            "default_runtime": info.get("DefaultRuntime"),
            "cgroup": f"v{info.get('CgroupVersion', '1')}",
            "storage": info.get("Driver"),
            "kernel": info.get("KernelVersion"),
            "memory_limit": bool(info.get("MemoryLimit")),
            "swap_limit": bool(info.get("SwapLimit")),
            "pids_limit": bool(info.get("PidsLimit")),
            "cpu_limit": bool(info.get("CpuCfsQuota") or info.get("CPUCfsQuota")),
            "seccomp": any("name=seccomp" in option for option in security),
            "user_namespace": any("name=userns" in option for option in security),
            "rootless": any("name=rootless" in option for option in security),
        }

    def image(self, name: str) -> Mapping[str, Any]:
        """The image's description.

        Raises:
            SandboxUnavailableError: the engine has no such image.
            ProfileError: the image declares volumes, which would be writable and unbounded.
        """
        with _provider("look up an image"):
            try:
                found: Mapping[str, Any] = self.client.inspect_image(name)  # type: ignore[no-untyped-call]  # types-docker
            except errors.ImageNotFound as err:
                raise SandboxUnavailableError(
                    f"the engine has no image {name!r:.120}",
                    "build it with `wardline sandbox build`",
                ) from err
        if (found.get("Config") or {}).get("Volumes"):
            raise ProfileError(f"image {name!r:.120} declares volumes; build one without")
        return found

    def images(self, label: str) -> list[Mapping[str, Any]]:
        """Descriptions of the images with a label (`name` or `name=value`), the unnamed too.

        Raises:
            SandboxProviderError: the engine failed.
        """
        with _provider("list images"):
            return list(self.client.images(filters={"label": label}))

    def remove_image(self, image: str) -> bool:
        """Removes an unnamed image; False when a container or another image is made from it.

        Raises:
            SandboxProviderError: the engine failed.
        """
        with _provider("remove an image"):
            try:
                # Its own parents stay: whose they are is looked at one by one.
                self.client.remove_image(image, noprune=True)
            except errors.APIError as err:
                if err.status_code not in (404, 409):
                    raise
                return False
        return True

    @contextmanager
    def looking_into(self, image: str) -> Iterator[Look]:
        """An image as files, by a container that is never started and removed again.

        Raises:
            SandboxProviderError: the engine refused or went away.
        """
        name = f"wardline-look-{secrets.token_hex(8)}"
        lease = Lease.of_this_process(wall_seconds=LOOK_SECONDS)
        request = {
            "Image": image,
            "Entrypoint": ["/never-started"],
            "NetworkDisabled": True,
            "Labels": {LEASE_LABEL: str(lease)},
        }
        with _provider("look into an image"):
            self.client.create_container_from_config(  # type: ignore[no-untyped-call]  # types-docker
                request, name=name
            )
        try:
            yield Look(self.client, name)
        finally:
            self.remove(name)

    def launch(self, request: Mapping[str, Any], *, name: str) -> socket.socket:
        """Creates, attaches to and starts a container. On any failure it is removed again.

        Raises:
            SandboxProviderError: the engine refused or went away.
        """
        with _provider("start a sandbox"):
            self.client.create_container_from_config(  # type: ignore[no-untyped-call]  # types-docker
                dict(request), name=name
            )
            try:
                stream = self._attach(name)
                try:
                    self.client.start(name)
                except BaseException:
                    stream.close()
                    raise
            except BaseException:
                self.client.remove_container(name, v=True, force=True)
                raise
        return stream

    def _attach(self, name: str) -> socket.socket:
        wanted = {"stdin": 1, "stdout": 1, "stderr": 1, "stream": 1}
        attached = self.client.attach_socket(name, params=wanted)
        try:
            # Our own handle: the SDK's goes back to, and is closed with, its HTTP connection.
            return socket.socket(fileno=os.dup(attached.fileno()))
        finally:
            attached._response.close()  # noqa: SLF001 - the SDK hands the response out nowhere else

    def kill(self, name: str) -> None:
        """Kills the container; nothing happens when it has ended already."""
        with _provider("kill a sandbox"):
            try:
                self.client.kill(name, signal="SIGKILL")
            except errors.APIError as err:
                if err.status_code not in (404, 409):
                    raise

    def end_of(self, name: str) -> Literal["oom", "killed", "by itself"]:
        """Waits for the container's end; gives what ended it.

        An engine can miss that it was its memory, and then says that it was killed: its shim may
        be gone before it reads the event (seen with a kernel of its own, Docker 20.10).
        """
        with _provider("wait for a sandbox"):
            self.client.wait(name, timeout=REQUEST_SECONDS)
            state: Mapping[str, Any] = self.client.inspect_container(name)["State"]
        if state.get("OOMKilled"):
            return "oom"
        return "killed" if state.get("ExitCode") == _KILLED else "by itself"

    def remove(self, name: str) -> None:
        """Removes the container and its anonymous volumes, killing it first if need be."""
        with _provider("remove a sandbox"):
            try:
                self.client.remove_container(name, v=True, force=True)
            except errors.APIError as err:
                # 409: another call is removing it at this moment
                if err.status_code not in (404, 409):
                    raise

    def leftovers(self) -> list[Leftover]:
        """All containers that carry our label."""
        with _provider("list sandboxes"):
            listed = self.client.containers(all=True, filters={"label": LEASE_LABEL})
        found = []
        for entry in listed:
            text = entry["Labels"].get(LEASE_LABEL, "")
            lease = Lease.parse(text)
            found.append(
                Leftover(
                    id=entry["Id"],
                    lease=text,
                    state=entry["State"],
                    is_abandoned=lease is None or lease.is_abandoned(),
                )
            )
        return found

    def close(self) -> None:
        """Closes the connections."""
        self.client.close()


@contextmanager
def _provider(doing: str) -> Iterator[None]:
    """Turns the SDK's and its transport's errors into this package's."""
    try:
        yield
    except (errors.DockerException, requests.RequestException, OSError) as err:
        said = getattr(err, "explanation", None) or type(err).__name__
        raise SandboxProviderError(
            f"the Docker engine could not {doing}: {str(said)!r:.400}"
        ) from err
