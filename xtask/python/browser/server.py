"""JupyterLab, started by the command that a student types."""

import json
import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from kernels.server import listens

# The set-up may have to compile the crate first.
LONGEST_START = 300

# A student reads before the next notebook is opened, and meanwhile the next spare kernel gets warm. Here
# nobody reads, so it gets warm while cells run.
WITHOUT_REST = ["--SpareKeeper.quiet_seconds=0", "--SpareKeeper.busy=101"]

# A save would change the notebooks of the clone.
SETTINGS = {"@jupyterlab/docmanager-extension/plugin": {"autosave": False}}


class Server:
    """JupyterLab, started by the command that a student types; `with` ends it."""

    def __init__(self, command: Sequence[str], private: str) -> None:
        # A port in use: JupyterLab must take another, and print that one.
        self.taken = socket.create_server(("localhost", 0))
        port = self.taken.getsockname()[1]
        # The reader's own theme and open tabs stay as they are.
        command = [
            *command,
            "--no-browser",
            f"--port={port}",
            "--expose-app-in-browser",
            f"--LabApp.user_settings_dir={private}/settings",
            f"--LabApp.workspaces_dir={private}/workspaces",
            *WITHOUT_REST,
        ]
        for plugin, settings in SETTINGS.items():
            file = Path(private) / "settings" / f"{plugin}.jupyterlab-settings"
            file.parent.mkdir(parents=True)
            file.write_text(json.dumps(settings), encoding="utf-8")
        self.log = open(Path(private) / "server.log", "w+", encoding="utf-8")
        self.process = subprocess.Popen(
            command, stdout=self.log, stderr=subprocess.STDOUT, start_new_session=True
        )
        self.url = ""

    def __enter__(self) -> "Server":
        deadline = time.monotonic() + LONGEST_START
        while time.monotonic() < deadline and self.process.poll() is None:
            found = re.search(r"http://(?:localhost|127\.0\.0\.1):\d+/lab\S*token=\w+", self.said())
            if found and listens(found.group()):
                self.url = found.group()
                if f":{self.taken.getsockname()[1]}/" in self.url:
                    raise AssertionError(f"JupyterLab printed a port that is taken: {self.url}")
                return self
            time.sleep(0.2)
        said = self.said()
        self.__exit__()
        raise AssertionError(f"JupyterLab did not start:\n{said}")

    def said(self) -> str:
        self.log.flush()
        return Path(self.log.name).read_text(encoding="utf-8")

    def __exit__(self, *_: object) -> None:
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        self.log.close()
        self.taken.close()
