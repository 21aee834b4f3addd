"""redis-py or valkey-py: python.py MODULE PORT"""

import importlib
import sys
import warnings

warnings.simplefilter("error")
library = importlib.import_module(sys.argv[1])
Client = library.Valkey if sys.argv[1] == "valkey" else library.Redis
client = Client(port=int(sys.argv[2]))
assert client.ping() is True
every_byte = bytes(range(256)) + b"\r\n$1\r\n"
assert client.echo(every_byte) == every_byte
assert client.set("text", every_byte) is True
assert client.get("text") == every_byte
assert client.get("none") is None
assert [client.incr("count"), client.incr("count", 41)] == [1, 42]
pipeline = client.pipeline(transaction=False)
for _ in range(100):
    pipeline.incr("count")
assert pipeline.execute() == list(range(43, 143))
pipeline = client.pipeline()
for _ in range(100):
    pipeline.incr("count")
assert pipeline.execute() == list(range(143, 243))
with client.pipeline() as pipeline:
    pipeline.multi()
    pipeline.set("both", 1).get("both").get("none").ping()
    assert pipeline.execute() == [True, b"1", None, True]
with client.pipeline() as pipeline:
    pipeline.set("both", "x").incr("both").set("both", 3)
    replies = pipeline.execute(raise_on_error=False)
    assert replies[0] is True and replies[2] is True, replies
    assert isinstance(replies[1], library.ResponseError), replies
assert client.get("both") == b"3"
try:
    with client.pipeline() as pipeline:
        pipeline.watch("both")
        pipeline.multi()
        pipeline.set("both", 4).execute()
except library.ResponseError as error:
    assert "WATCH is not supported" in str(error), error
else:
    raise AssertionError("WATCH was accepted")
assert client.get("both") == b"3"
assert client.info()["loading"] == 0
try:
    client.execute_command("nonsense")
except library.ResponseError as error:
    assert str(error) == "unknown command 'nonsense'", error
else:
    raise AssertionError("an unknown command was answered")
client.close()
print(library.__version__)
