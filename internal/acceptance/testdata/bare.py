# A llama.cpp server with nothing around it: what the acceptance tests hold the
# product against. argv[1] is a JSON object (bareConfig in bare_test.go). It ends
# when its stdin does.
import json
import os
import signal
import sys

cfg = json.loads(sys.argv[1])
# Tells on stdout when it is ready, and ends when stdin does. No parent-death
# signal: that one is bound to the thread that started us, which Go may end.
os.environ["LLAMA_SERVER_ROUTER_PORT"] = "1"
sys.path.insert(0, cfg["site"])

import xllamacpp

p = xllamacpp.CommonParams()
p.model.path = cfg["model"]
p.hostnames = [cfg["socket"]]
p.n_parallel = 1
p.n_ctx = cfg["context"]
p.n_batch = p.n_ubatch = cfg["batch"]
p.cpuparams.n_threads = p.cpuparams_batch.n_threads = 1
p.cache_ram_mib = 0
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
