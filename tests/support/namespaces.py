"""Machines of the test's own: network namespaces with addresses and host names of their own.

No namespace has a name on this machine, no interface of it is touched: each namespace lives as long
as the process that holds it, and its virtual cables go with it, however the test ends.
"""

import functools
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from course_app.lab.child_process import ChildProcess

NETWORK = "10.77.0"
"""The first three numbers of every address; they mean something inside the namespaces alone."""
HOLD = 'hostname "$1" && ip link set lo up && echo ready && exec sleep 600'


@functools.cache
def missing() -> str:
    """Why no network namespace can be made here; empty if it can."""
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        return "network namespaces need root"
    for command in ("ip", "unshare", "nsenter", "hostname"):
        if not shutil.which(command):
            return f"the command {command} is not installed"
    bridge = ["unshare", "--net", "--uts", "ip", "link", "add", "switch", "type", "bridge"]
    tried = subprocess.run(bridge, capture_output=True, text=True, timeout=10)
    return f"no network namespace can be made: {tried.stderr.strip()}" if tried.returncode else ""


class Machine:
    """A host of the network: what `inside` is put in front of runs on it."""

    def __init__(self, name: str, address: str, holder: ChildProcess) -> None:
        self.name = name
        self.address = address
        self.holder = holder
        self.inside = ["nsenter", "--target", str(holder.pid), "--net", "--uts", "--"]

    def run(self, *command: str, timeout: float = 10) -> str:
        """Run a command there and return its output; raises RuntimeError with its errors."""
        done = subprocess.run(
            [*self.inside, *command], capture_output=True, text=True, timeout=timeout
        )
        if done.returncode:
            raise RuntimeError(f"{' '.join(command)} on {self.name}: {done.stderr}{done.stdout}")
        return done.stdout


class Network(dict[str, Machine]):
    """Machines by name, each cabled to a port of the one called `switch`."""

    def cut(self, name: str) -> None:
        """Take a machine's cable out, at the switch: neither side is told."""
        self["switch"].run("ip", "link", "set", f"to-{name}", "down")

    def mend(self, name: str) -> None:
        """Put the cable back."""
        self["switch"].run("ip", "link", "set", f"to-{name}", "up")


@contextmanager
def network(*names: str) -> Iterator[Network]:
    """A switch at 10.77.0.1 and machines with these names at 10.77.0.2 and on."""
    with ExitStack() as stack:
        machines = Network()
        for number, name in enumerate(["switch", *names], start=1):
            command = ["unshare", "--net", "--uts", "sh", "-c", HOLD, "sh", name]
            holder = ChildProcess(command, f"machine {name}", lambda log: "ready" in log, within=10)
            stack.enter_context(holder)
            machines[name] = Machine(name, f"{NETWORK}.{number}", holder)
        switch = machines["switch"]
        switch.run("ip", "link", "add", "bridge", "type", "bridge")
        switch.run("ip", "address", "add", f"{switch.address}/24", "dev", "bridge")
        switch.run("ip", "link", "set", "bridge", "up")
        for machine in [machines[name] for name in names]:
            port = f"to-{machine.name}"
            cable = ["type", "veth", "peer", "name", "eth0", "netns", str(machine.holder.pid)]
            switch.run("ip", "link", "add", port, *cable)
            switch.run("ip", "link", "set", port, "master", "bridge", "up")
            machine.run("ip", "address", "add", f"{machine.address}/24", "dev", "eth0")
            machine.run("ip", "link", "set", "eth0", "up")
        yield machines
