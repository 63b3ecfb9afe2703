# A llama.cpp server on a port of the loopback interface: the peer that the tests
# speak to. argv[1] is a JSON object (peerConfig in peer_test.go). It ends when its
# stdin does.
import json
import os
import signal
import sys

cfg = json.loads(sys.argv[1])
os.environ["LLAMA_SERVER_ROUTER_PORT"] = "1"
sys.path.insert(0, cfg["site"])

import xllamacpp

p = xllamacpp.CommonParams()
p.model.path = cfg["model"]
if cfg["projector"]:
    p.mmproj.path = cfg["projector"]
if cfg["template"]:
    p.chat_template = cfg["template"]
p.hostnames = ["127.0.0.1"]
p.port = cfg["port"]
if cfg["key"]:
    p.api_keys = [cfg["key"]]
p.n_parallel = cfg["slots"]
p.n_ctx = cfg["slots"] * cfg["context"]
p.n_batch = p.n_ubatch = 512
p.cpuparams.n_threads = p.cpuparams_batch.n_threads = 1
p.cache_ram_mib = 0
p.cache_idle_slots = False
p.kv_unified = False
p.ctx_shift = False
p.ui = False
p.fit_params = False
p.offline = True
p.verbosity = 1
p.no_extra_bufts = cfg["safe"]
if cfg["embedding"]:
    p.embedding = True
    p.pooling_type = xllamacpp.llama_pooling_type.LLAMA_POOLING_TYPE_MEAN

server = xllamacpp.Server(p)
while True:
    signal.pause()
