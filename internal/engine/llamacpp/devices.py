# Prints the devices that the package xllamacpp in the folder argv[1] knows, in the
# form of `llama-server --list-devices`.
import sys

sys.path.insert(0, sys.argv[1])

import xllamacpp

print("Available devices:")
for d in xllamacpp.get_device_info():
    if d["type"] in (
        xllamacpp.ggml_backend_dev_type.GGML_BACKEND_DEVICE_TYPE_GPU,
        getattr(xllamacpp.ggml_backend_dev_type, "GGML_BACKEND_DEVICE_TYPE_IGPU", None),
    ):
        total, free = d["memory_total"] >> 20, d["memory_free"] >> 20
        print(f"  {d['name']}: {d['description']} ({total} MiB, {free} MiB free)")
