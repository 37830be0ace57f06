"""confluent-kafka's AlterConfigs, which replaces all of a topic's settings at once (librdkafka, deprecated by KIP-339).

usage: confluent_replaced_configs.py BOOTSTRAP TOPIC      the topic exists, without settings of its own
"""

import sys
import warnings

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient, ConfigResource, ConfigSource

warnings.simplefilter("ignore", DeprecationWarning)
bootstrap, topic = sys.argv[1:]
admin = AdminClient({"bootstrap.servers": bootstrap})


def replace(settings, **options):
    resource = ConfigResource(ConfigResource.Type.TOPIC, topic, set_config=settings)
    admin.alter_configs([resource], **options)[resource].result(30)


def own_settings():
    resource = ConfigResource(ConfigResource.Type.TOPIC, topic)
    entries = admin.describe_configs([resource])[resource].result(30).values()
    return {e.name: e.value for e in entries if e.source == ConfigSource.DYNAMIC_TOPIC_CONFIG.value}


replace({"retention.ms": "3600000", "segment.bytes": "1048576"})
assert own_settings() == {"retention.ms": "3600000", "segment.bytes": "1048576"}, own_settings()

# Checked, and not done.
replace({"retention.ms": "1"}, validate_only=True)
assert own_settings() == {"retention.ms": "3600000", "segment.bytes": "1048576"}, own_settings()

# What is not named goes back to its default.
replace({"cleanup.policy": "compact"})
assert own_settings() == {"cleanup.policy": "compact"}, own_settings()

for refused in ({"retention.ms": "soon"}, {"no.such.thing": "1"}):
    try:
        replace(refused)
        raise SystemExit("%r was taken" % refused)
    except KafkaException as error:
        assert error.args[0].name() == "INVALID_CONFIG", error
assert own_settings() == {"cleanup.policy": "compact"}, own_settings()

replace({})
assert own_settings() == {}, own_settings()
print("ok")
