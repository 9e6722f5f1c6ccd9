"""TFRecord files and the `tf.train.Example` messages in them, without TensorFlow.

A record is its length (8 bytes, little endian), the masked CRC-32C of those bytes, the data, and the masked
CRC-32C of the data. Source: TensorFlow's guide "TFRecord and tf.train.Example" and its `tensorflow/core/example/
example.proto` and `feature.proto`, whose field numbers stand below.
"""

import struct
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from worldvla.exchange.importing.record import Unmappable

MASK = 0xA282EAD8
LONGEST = 1 << 31  # bytes of one message that protocol buffers allow


def records(path: Path) -> Iterator[bytes | Unmappable]:
    """Each record's data, or why it is damaged. After damage to a length nothing behind it can be found."""
    number = 0
    try:
        with path.open("rb") as file:
            while header := file.read(12):
                where = f"{path.name}: record {number}"
                if len(header) < 12:
                    yield Unmappable("file_unreadable", f"{where} is cut off in its length")
                    return
                length, check = struct.unpack("<QI", header)
                if check != masked_crc(header[:8]) or length > LONGEST:
                    yield Unmappable("file_unreadable", f"{where}: its length is damaged; what follows cannot be found")
                    return
                data, tail = file.read(length), file.read(4)
                if len(data) < length or len(tail) < 4:
                    yield Unmappable("file_unreadable", f"{where} is cut off: {len(data)} of {length} bytes")
                    return
                if struct.unpack("<I", tail)[0] != masked_crc(data):
                    yield Unmappable("file_unreadable", f"{where}: its bytes are not those that were written (CRC-32C)")
                else:
                    yield data
                number += 1
    except OSError as error:
        yield Unmappable("file_unreadable", f"{path.name}: {error}")


def masked_crc(data: bytes) -> int:
    import google_crc32c

    crc = google_crc32c.value(data)
    return ((crc >> 15 | crc << 17) + MASK) & 0xFFFFFFFF


def features(data: bytes) -> dict[str, list]:
    """The values of an Example by feature: bytes, floats or integers. Raises `Unmappable` on other bytes."""
    from google.protobuf.message import DecodeError

    message = _example()()
    try:
        message.ParseFromString(data)
    except DecodeError as error:
        raise Unmappable("file_unreadable", f"a record is no tf.train.Example: {error}") from error
    found = {}
    for name, feature in message.features.feature.items():
        kind = feature.WhichOneof("kind")
        found[name] = list(getattr(feature, kind).value) if kind else []
    return found


@cache
def _example() -> Any:
    """The message class, described here because only TensorFlow ships it."""
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    kinds = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="worldvla/example.proto", package="worldvla", syntax="proto3")
    for name, kind in (
        ("BytesList", kinds.TYPE_BYTES),
        ("FloatList", kinds.TYPE_FLOAT),
        ("Int64List", kinds.TYPE_INT64),
    ):
        file.message_type.add(name=name).field.add(name="value", number=1, type=kind, label=kinds.LABEL_REPEATED)
    feature = file.message_type.add(name="Feature")
    feature.oneof_decl.add(name="kind")
    for number, name in enumerate(("BytesList", "FloatList", "Int64List"), 1):
        feature.field.add(
            name=name.lower(),
            number=number,
            type=kinds.TYPE_MESSAGE,
            type_name=f".worldvla.{name}",
            label=kinds.LABEL_OPTIONAL,
            oneof_index=0,
        )
    every = file.message_type.add(name="Features")
    entry = every.nested_type.add(name="FeatureEntry")
    entry.options.map_entry = True
    entry.field.add(name="key", number=1, type=kinds.TYPE_STRING, label=kinds.LABEL_OPTIONAL)
    message, one, many = kinds.TYPE_MESSAGE, kinds.LABEL_OPTIONAL, kinds.LABEL_REPEATED
    entry.field.add(name="value", number=2, type=message, type_name=".worldvla.Feature", label=one)
    every.field.add(name="feature", number=1, type=message, type_name=".worldvla.Features.FeatureEntry", label=many)
    example = file.message_type.add(name="Example")
    example.field.add(name="features", number=1, type=message, type_name=".worldvla.Features", label=one)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("worldvla.Example"))
