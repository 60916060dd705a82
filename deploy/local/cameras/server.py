"""Test cameras: a GStreamer RTSP server that plays clips in real time, run by the system's Python.

``/usr/bin/python3 server.py --port 8554 --mount camera1=clip.mp4 --mount camera2=clip.mp4``: prints one line
``ready PORT`` once it listens. Every client gets a clip of its own, from its start. ``--user``/``--password``: all
mounts ask for them.
"""

import argparse
import sys


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--port", type=int, default=0, help="0 = any free one")
    arguments.add_argument("--mount", action="append", required=True, metavar="NAME=FILE", help="an H.264 .mp4")
    arguments.add_argument("--user")
    arguments.add_argument("--password", default="")
    options = arguments.parse_args()
    try:
        import gi

        gi.require_version("Gst", "1.0")
        gi.require_version("GstRtspServer", "1.0")
        from gi.repository import GLib, Gst, GstRtspServer
    except (ImportError, ValueError) as error:
        print(f"missing {error}", file=sys.stderr)
        return 3
    Gst.init(None)
    for element in ("qtdemux", "h264parse", "rtph264pay"):
        if Gst.ElementFactory.find(element) is None:
            print(f"missing GStreamer's {element}", file=sys.stderr)
            return 3
    server = GstRtspServer.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service(str(options.port))
    if options.user:
        auth = GstRtspServer.RTSPAuth()
        token = GstRtspServer.RTSPToken()
        token.set_string("media.factory.role", "user")
        auth.add_basic(GstRtspServer.RTSPAuth.make_basic(options.user, options.password), token)
        server.set_auth(auth)
    mounts = server.get_mount_points()
    for mount in options.mount:
        name, _, path = mount.partition("=")
        factory = GstRtspServer.RTSPMediaFactory()
        factory.set_launch(
            f'( filesrc location="{path}" ! qtdemux ! h264parse config-interval=-1 '
            "! rtph264pay name=pay0 pt=96 config-interval=1 )"
        )
        factory.set_shared(False)
        if options.user:
            factory.add_role_from_structure(
                Gst.Structure.new_from_string(
                    "user, media.factory.access=(boolean)true, media.factory.construct=(boolean)true"
                )
            )
        mounts.add_factory(f"/{name}", factory)
    if not server.attach(None):
        print(f"cannot listen on port {options.port}", file=sys.stderr)
        return 4
    print(f"ready {server.get_bound_port()}", flush=True)
    GLib.MainLoop().run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
