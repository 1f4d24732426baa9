"""The page as on ZeroGPU, with the processor in place of the GPU: python tests/zero_gpu.py FOLDER prints its address.

The `spaces` library is the real one and takes this for a Space: it patches torch, asks its service for a GPU and forks
a process for the run. Stood in for are the service, which answers here, and the GPU: what the fork would move there
stays where it is. FOLDER gets `asked`, a line of JSON per request for a GPU; while it holds a file `refuse`, there is
none.
"""

import json
import os
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlparse

FOLDER = Path(sys.argv[1])
sys.path.insert(0, str(Path(__file__).parents[1]))


class Service(BaseHTTPRequestHandler):
    def do_POST(self):
        address, answer = urlparse(self.path), {}
        if address.path == "/schedule":
            with (FOLDER / "asked").open("a") as file:
                file.write(json.dumps({name: value for name, (value,) in parse_qs(address.query).items()}) + "\n")
            answer = {"idle": False, "nvidiaIndex": 0, "nvidiaUUID": "none", "allowToken": "token"}
        refused = address.path == "/schedule" and (FOLDER / "refuse").exists()
        if refused:
            answer = {"left": 5, "wait": "PT4H"}
        self.send_response(429 if refused else 200)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(json.dumps(answer).encode())

    def log_message(self, *arguments):
        pass


def no():
    return False


def main():
    service = ThreadingHTTPServer(("127.0.0.1", 0), Service)
    threading.Thread(target=service.serve_forever, daemon=True).start()
    os.environ["SPACES_ZERO_GPU"] = "true"
    os.environ["SPACES_ZERO_DEVICE_API_URL"] = f"http://127.0.0.1:{service.server_port}"

    import torch

    if torch.version.cuda is None:  # the library expects the build with CUDA
        torch.version.cuda, torch._C._cuda_init, torch.cuda._is_in_bad_fork = "12.8", no, no

    from spaces.zero import torch as zero
    from spaces.zero import utils
    from spaces.zero.torch import patching

    import app  # imports spaces first
    from easi3r.web.pool import POOL

    def move(callback=None):
        for fake, original in list(patching.cuda_aliases.items()):
            fake.data = original
        for network in POOL.networks():
            network.device = "cpu"

    zero.pack, zero.init, zero.move = (lambda: 0), (lambda device: None), move
    utils.self_cgroup_device_path = lambda: ""
    print(app.launch(prevent_thread_lock=True, quiet=True)[1], flush=True)
    threading.Event().wait()


if __name__ == "__main__":
    main()
