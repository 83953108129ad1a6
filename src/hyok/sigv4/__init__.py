"""AWS Signature Version 4, both ways: verified on requests that come in, put on those that go out.

Pure: the clock and the secret are arguments.  Source: AWS, "Signature Version 4".
"""
