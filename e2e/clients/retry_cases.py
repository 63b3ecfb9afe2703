"""boto3 with its default retries in the last second of somebody else's flood.

AT: when to begin, in seconds since 1970.
"""

import os
import time
from concurrent.futures import ThreadPoolExecutor

import boto3
from botocore.config import Config

from cases import case, equal, main

WORK = {"modelId": "amazon.nova-lite-v1:0", "messages": [{"role": "user", "content": [{"text": "work"}]}]}
runtime = boto3.client("bedrock-runtime", config=Config(max_pool_connections=20))


@case
def default_retries_bring_every_call_home():
    time.sleep(max(float(os.environ["AT"]) - time.time(), 0))
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda _: runtime.converse(**WORK), range(20)))
    equal({a["stopReason"] for a in answers}, {"end_turn"})
    return f"{sum(a['ResponseMetadata']['RetryAttempts'] > 0 for a in answers)} of 20 calls were tried again"


main()
