"""Gives Jupyter a kernel of the course that is warm before it is asked for.

Two parts that Jupyter finds by name:

- `provisioner.CourseProvisioner` starts kernels. The course's kernelspec names it.
- The server extension below keeps a spare kernel ready, see `keeper.SpareKeeper`. Only in a process
  with that extension is there a spare; everywhere else the provisioner starts kernels the
  ordinary way.

Of Jupyter only public names are used. Some are documented little, so new versions in
requirements.txt need a look at them: `LocalProvisioner`'s `process`, `pid`, `pgid` and `cwd`, what
its `connection_info` has, and `launcher.launch_kernel`, which makes the kernel the leader of its
group.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jupyter_server.serverapp import ServerApp

__version__ = "0.1.0"


def _jupyter_server_extension_points() -> list[dict[str, str]]:
    return [{"module": "course_kernel"}]


def _load_jupyter_server_extension(server: "ServerApp") -> None:
    from . import keeper

    keeper.start(server)
