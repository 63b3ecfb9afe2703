"""The AWS CLI with a clock that is off: late_aws.py MINUTES COMMAND..."""

import datetime
import sys

import botocore.auth

now = botocore.auth.get_current_datetime
shift = datetime.timedelta(minutes=int(sys.argv[1]))
botocore.auth.get_current_datetime = lambda *args, **kwargs: now(*args, **kwargs) + shift

from awscli.clidriver import main  # noqa: E402

sys.argv = ["aws", *sys.argv[2:]]
sys.exit(main())
