# Hosts llama.cpp's server from the package xllamacpp for Outcrop.
#
# argv[1] is a JSON object (hostConfig in host.go). While the model loads,
# Python's interpreter lock is held and no thread of this script could run, so
# everything that guards against orphans comes before the import.
import json
import os
import signal
import sys

cfg = json.loads(sys.argv[1])

if sys.platform == "linux":
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(1, int(signal.SIGKILL), 0, 0, 0)  # PR_SET_PDEATHSIG
    libc.prctl(4, 0, 0, 0, 0)  # PR_SET_DUMPABLE: no core file, no ptrace
if os.getppid() != cfg["parent"]:
    os._exit(75)  # the parent died before it could be watched
if os.name == "posix":
    import resource

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.umask(0o177)  # the socket: owner only

os.environ["LLAMA_SERVER_ROUTER_PORT"] = "1"  # state lines on stdout, end on stdin's EOF
sys.path.insert(0, cfg["site"])

import xllamacpp

p = xllamacpp.CommonParams()
p.model.path = cfg["model"]
if cfg["projector"]:
    p.mmproj.path = cfg["projector"]
if cfg["template"]:
    p.chat_template = cfg["template"]
p.model_alias = {cfg["alias"]}
p.hostnames = [cfg["socket"]]
p.n_parallel = cfg["slots"]
p.n_ctx = cfg["kv"] or cfg["slots"] * cfg["context"]
p.n_batch = cfg["batch"]
p.n_ubatch = cfg["batch"]
p.cpuparams.n_threads = cfg["threads"]
p.cpuparams_batch.n_threads = cfg["threads"]
p.cache_ram_mib = 0  # the host cache crosses slots, and so accounts
p.cache_idle_slots = False
p.kv_unified = cfg["kv"] > 0
p.n_ctx_checkpoints = cfg["spare"]
p.sleep_idle_seconds = cfg["sleep"]
p.ctx_shift = False
p.endpoint_metrics = True
p.endpoint_slots = False  # would show prompts
p.ui = False
p.fit_params = False
p.offline = True
p.verbosity = cfg["verbosity"]
if cfg["layers"] is not None:
    p.n_gpu_layers = cfg["layers"]
    p.mmproj_use_gpu = cfg["layers"] > 0
p.no_extra_bufts = cfg["safe"]
if cfg["embedding"]:
    p.embedding = True
    p.cache_prompt = False
    if cfg["pooling"]:
        p.pooling_type = getattr(
            xllamacpp.llama_pooling_type, "LLAMA_POOLING_TYPE_" + cfg["pooling"]
        )

server = xllamacpp.Server(p)
while True:
    signal.pause() if os.name == "posix" else __import__("time").sleep(3600)
